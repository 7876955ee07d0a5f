"""Networks of known layers: forward and backward pass are written out, in buffers that are kept from step to step."""
