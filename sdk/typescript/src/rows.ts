// Rows as programs have them, as the service takes them.

import { UnreadableData } from "./errors.js";
import type { JobSpec, PredictionRequest } from "./generated/index.js";

/** A value of a row; null and NaN are missing ones. */
export type Cell = number | string | boolean | null | unknown[];
/** Columns by name, all of one length: arrays or typed arrays. */
export type Columns = Record<string, ArrayLike<Cell>>;
/** Rows, one object each. */
export type Row = Record<string, Cell>;

type Type<Part extends { type: string }> = Part | Part["type"];

/** What to fit, where defaults are good enough. Every field of a spec may stand here, too. */
export interface FitOptions extends Partial<Omit<JobSpec, "data" | "model" | "loss" | "optimizer">> {
  /** The column to predict, or several. */
  target: string | string[];
  /** The columns to predict from; all others by default. */
  features?: string[];
  /** A model, or just its type; `linear` by default. */
  model?: Type<JobSpec["model"]>;
  /** A loss, or just its type; by default squares for numbers, cross-entropy for classes. */
  loss?: Type<JobSpec["loss"]>;
  /** An optimizer, or just its type; by default Adam with a rate of 0.05. */
  optimizer?: Type<JobSpec["optimizer"]>;
  /** Passes over the rows, where `training` does not say it; 300 by default. */
  epochs?: number;
}

/**
 * Complete a spec from columns and a few words.
 *
 * Inputs, and targets that are numbers, are standardized unless `preprocessing` says otherwise.
 *
 * @throws UnreadableData where a column has a value that cannot be sent.
 */
export function specOf(columns: Columns, options: FitOptions): JobSpec {
  const { target, features, model, loss, optimizer, epochs, training, ...rest } = options;
  const read = columnsOf(columns);
  const numbers = areNumbers(read, target);
  const data = { type: "inline", columns: read, target, ...(features && { features }) };
  return {
    preprocessing: { scaling: "standardize", ...(numbers && { target_scaling: "standardize" }) },
    ...rest,
    data,
    model: typed(model ?? "linear"),
    loss: typed(loss ?? (numbers ? "MSELoss" : "CrossEntropyLoss")),
    optimizer: typed(optimizer ?? { type: "Adam", lr: 0.05 }),
    training: { epochs: epochs ?? 300, ...training },
  } as JobSpec;
}

/**
 * Read rows to predict: by column, or an array of objects.
 *
 * @throws UnreadableData where there is a value that cannot be sent.
 */
export function requestOf(rows: Columns | Row[]): PredictionRequest {
  return (Array.isArray(rows) ? { rows: checked(rows) } : { columns: columnsOf(rows) }) as PredictionRequest;
}

function columnsOf(columns: Columns): Record<string, Cell[]> {
  // JSON would make an object of a typed array.
  return checked(
    Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, Array.from(values)])),
  );
}

function checked<T>(value: T, path = ""): T {
  // JSON would make null of it, and the service would take the value for a missing one.
  if (value === Infinity || value === -Infinity)
    throw new UnreadableData(`${path}: infinity cannot be sent.`);
  if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) checked(inner, `${path}/${key}`);
  }
  return value;
}

function typed(part: string | object): object {
  return typeof part === "string" ? { type: part } : part;
}

function areNumbers(columns: Record<string, Cell[]>, target: string | string[]): boolean {
  const names = Array.isArray(target) ? target : [target];
  return names.every((name) => (columns[name] ?? []).every((value) => typeof value === "number"));
}
