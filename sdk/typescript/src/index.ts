// fitd-client: a client of fitd, model fitting over HTTP.

export * from "./errors.js";
export { follow, type JobEvent, type Message, messages, type StreamOptions } from "./events.js";
export { Fitd, type FitdOptions, type SubmitOptions } from "./fitd.js";
export { Api } from "./generated/sdk.gen.js";
export type * from "./generated/types.gen.js";
export { JobHandle, type WaitOptions } from "./job.js";
export type { RetryOptions } from "./retries.js";
export type { Cell, Columns, FitOptions, Row } from "./rows.js";
