// The live service that tests talk to, and a small spec for it.

import assert from "node:assert/strict";
import { Fitd, type JobSpec } from "../src/index.js";

assert.ok(process.env.FITD_URL, "FITD_URL names the service to test against");
export const url = process.env.FITD_URL;
export const fitd = new Fitd({ baseUrl: url });

export const line: JobSpec = {
  data: { type: "inline", columns: { x: [0, 1, 2, 3], y: [7, 12, 17, 22] }, target: "y" },
  model: { type: "linear" },
  loss: { type: "MSELoss" },
  optimizer: { type: "SGD", lr: 0.05 },
  training: { epochs: 50, seed: 0 },
};

/** A training that does not end by itself while a test looks at it. */
export const long: JobSpec = {
  ...line,
  model: { type: "mlp", hidden: [16] },
  training: { epochs: 1_000_000, batch_size: 2, seed: 0 },
};
