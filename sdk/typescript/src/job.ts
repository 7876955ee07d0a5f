// A job that was submitted, as an object.

import { JobFailed, WaitTimeout } from "./errors.js";
import { follow, type JobEvent, type StreamOptions } from "./events.js";
import type { Fitd } from "./fitd.js";
import type {
  GetHistoryData,
  GetPlotData,
  HistoryColumns,
  Job,
  Parameters,
  Prediction,
} from "./generated/index.js";
import { type Columns, type Row, requestOf } from "./rows.js";

/** How to wait for a job. */
export interface WaitOptions {
  /** Ends the waiting; its reason is thrown. The job goes on. */
  signal?: AbortSignal;
  /** Called about once a second with the job as it is, and at its end. */
  onProgress?: (job: Job) => void;
  /** Milliseconds after which `WaitTimeout` is thrown; for ever by default. */
  timeout?: number;
  /** Whether a job that failed throws `JobFailed`; true by default. */
  check?: boolean;
}

const LONG_POLL = 30;

/** A job of the service. It shows what was last heard of it; `refresh` asks anew. */
export class JobHandle {
  readonly #fitd: Fitd;
  #seen: Job;

  constructor(fitd: Fitd, seen: Job) {
    this.#fitd = fitd;
    this.#seen = seen;
  }

  /** All that was last heard of the job. */
  get data(): Job {
    return this.#seen;
  }

  get id(): string {
    return this.#seen.id;
  }

  get status(): Job["status"] {
    return this.#seen.status;
  }

  /** What came out; null until the job has ended. */
  get result(): Job["result"] {
    return this.#seen.result;
  }

  /** Ask how the job is. */
  async refresh(options: { signal?: AbortSignal } = {}): Promise<this> {
    return this.#see(await this.#fitd.api.getJob({ path: this.#path, ...options }));
  }

  /**
   * Wait for the end of the job.
   *
   * @throws JobFailed where it failed, unless `check` is false; WaitTimeout where `timeout` is over.
   */
  async wait(options: WaitOptions = {}): Promise<this> {
    const until = performance.now() + (options.timeout ?? Infinity);
    while (!this.#seen.terminal) {
      const left = (until - performance.now()) / 1000;
      if (left <= 0) throw new WaitTimeout(`${this.id} is still ${this.status}.`);
      const wait = Math.min(left, options.onProgress ? 1 : LONG_POLL);
      this.#see(await this.#fitd.api.getJob({ path: this.#path, query: { wait }, ...signalOf(options) }));
      options.onProgress?.(this.#seen);
    }
    if (this.#seen.error && options.check !== false) throw new JobFailed(this.id, this.#seen.error);
    return this;
  }

  /** Follow the job's events to the last one; where the line breaks, the stream goes on after the last event. */
  stream(options: StreamOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    return follow((last, signal) => this.#fitd.openEvents(this.id, last, signal), options, this.#fitd.retry);
  }

  /** Ask the job to stop; what it has learnt so far stays. */
  async cancel(): Promise<this> {
    return this.#see(await this.#fitd.api.cancelJob({ path: this.#path }));
  }

  /** Let the job stand still. */
  async pause(): Promise<this> {
    return this.#see(await this.#fitd.api.pauseJob({ path: this.#path }));
  }

  /** Let it go on. */
  async resume(): Promise<this> {
    return this.#see(await this.#fitd.api.resumeJob({ path: this.#path }));
  }

  /** Submit the same again, or what `changes` make of it: a merge patch (RFC 7396) of the spec. */
  async rerun(changes: Record<string, unknown> = {}): Promise<JobHandle> {
    return new JobHandle(this.#fitd, await this.#fitd.api.rerunJob({ path: this.#path, body: changes }));
  }

  /** Remove the job with all it owns; it must have ended. */
  async delete(): Promise<void> {
    await this.#fitd.api.deleteJob({ path: this.#path });
  }

  /** The series of the job, an entry for each epoch: losses, learning rate, metrics. */
  async history(query: GetHistoryData["query"] = {}): Promise<HistoryColumns> {
    return (await this.#fitd.api.getHistory({ path: this.#path, query })).columns;
  }

  /** The trained numbers. */
  async parameters(): Promise<Parameters> {
    return (await this.#fitd.api.getParameters({ path: this.#path })) as Parameters;
  }

  /**
   * Predict rows, in raw units on both sides: by column, or an array of objects. The answer has the same form.
   *
   * @throws UnreadableData where there is a value that cannot be sent.
   */
  async predict(rows: Columns | Row[], options: { signal?: AbortSignal } = {}): Promise<Prediction> {
    const sent = { path: this.#path, body: requestOf(rows), ...options };
    return (await this.#fitd.api.predict(sent)) as Prediction;
  }

  /** A picture of the job as SVG, such as `loss` or `fit`. */
  async plot(plot: GetPlotData["path"]["plot"]): Promise<string> {
    const path = { ...this.#path, plot };
    const drawn: unknown = await this.#fitd.api.getPlot({
      path,
      headers: { Accept: "image/svg+xml" },
      parseAs: "text",
    });
    return drawn as string;
  }

  get #path(): { job_id: string } {
    return { job_id: this.id };
  }

  #see(seen: Job): this {
    this.#seen = seen;
    return this;
  }
}

function signalOf(options: { signal?: AbortSignal }): { signal?: AbortSignal } {
  return options.signal ? { signal: options.signal } : {};
}
