"""Calibrate a thermometer from a DataFrame: three models, the one with the lowest dev loss, predictions with names."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from fitd_client import Client, Job
from fitd_client.sklearn import FitdRegressor
from sklearn.model_selection import cross_val_score

OUT = Path(os.environ.get("FITD_OUTPUT", "output"))
MODELS = {"linear": "linear", "cubic": {"type": "polynomial", "degree": 3}, "network": "mlp"}


def measured(rows: int = 240) -> pd.DataFrame:
    """Draw what a thermometer says beside the true temperature: it bends, and it drifts with its age in years."""
    drawn = np.random.default_rng(0)
    frame = pd.DataFrame({"reading": drawn.uniform(-20, 80, rows), "age": drawn.uniform(0, 5, rows)})
    bend = 0.002 * (frame.reading - 30) ** 2
    frame["temperature"] = frame.reading + bend - 0.5 * frame.age + drawn.normal(0, 0.2, rows)
    return frame


def compared(client: Client, frame: pd.DataFrame) -> dict[str, Job]:
    """Fit each model: all are submitted first, and trained as the service has room."""
    jobs = {
        name: client.fit(
            frame, target="temperature", model=model, optimizer="Adam", lr=0.03, epochs=1500,
            batch_size="full", dev=0.25, seed=0, name=f"thermometer, {name}",
        )
        for name, model in MODELS.items()
    }  # fmt: skip
    return {name: job.wait() for name, job in jobs.items()}


def main() -> None:
    """Run the example on the service at FITD_URL."""
    frame = measured()
    with Client() as client:
        jobs = compared(client, frame)
        print("model      train_rmse  dev_rmse")
        for name, job in jobs.items():
            metrics = job.result.metrics
            print(f"{name:<10} {metrics['train']['rmse']:10.3f} {metrics['dev']['rmse']:9.3f}")
        best = min(jobs.values(), key=lambda job: job.result.dev_loss)

        print("\nwhat the best one says")
        more = pd.DataFrame(
            {"reading": [0.0, 30.0, 60.0], "age": [1.0, 1.0, 4.0]},
            index=["ice", "skin", "soup"],
        )
        for name, temperature in best.predict(more).items():
            print(f"{name:<6} {temperature:6.2f}")

        print(f"\nsaved {best.plot('predicted').save(OUT / 'predicted.svg')}")
        history = best.history(max_points=50)
        history.to_csv(OUT / "history.csv", index=False)

        network = FitdRegressor(epochs=200, random_state=0, client=client)
        scores = cross_val_score(network, frame[["reading"]], frame.temperature, cv=3)
        print(f"\nwithout the age, cross-validated by scikit-learn: r2 {scores.mean():.4f}")


if __name__ == "__main__":
    main()
