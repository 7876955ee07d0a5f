"""Jobs told to MLflow and TensorBoard, by whoever follows the database."""
