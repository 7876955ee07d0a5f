// The client: one service, one key.

import { apiError, TransportError } from "./errors.js";
import { createClient, createConfig } from "./generated/client/index.js";
import type { Dataset, JobSpec, ListJobsData, UploadDatasetData } from "./generated/index.js";
import { Api } from "./generated/sdk.gen.js";
import { JobHandle, type WaitOptions } from "./job.js";
import { type RetryOptions, retrying } from "./retries.js";
import { type Columns, type FitOptions, specOf } from "./rows.js";

/** Where the service is, and how to talk to it. */
export interface FitdOptions {
  /** Address of the service; `http://127.0.0.1:8000` by default. */
  baseUrl?: string;
  /** Its key, where it wants one. */
  apiKey?: string;
  /** How often and how patiently a request is sent again. */
  retry?: RetryOptions;
  /** Used instead of the platform's fetch. */
  fetch?: typeof globalThis.fetch;
}

/** How to submit a job. */
export interface SubmitOptions {
  /** The same key with the same spec gives the same job again; a new one by default. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** A service for model fitting. */
export class Fitd {
  readonly baseUrl: string;
  readonly retry: RetryOptions;
  /** Every call of the service as a method, typed, with the same retries and errors: what has no short way here. */
  readonly api: Api;
  readonly #apiKey: string | undefined;
  readonly #fetch: (request: Request) => Promise<Response>;

  constructor(options: FitdOptions = {}) {
    this.baseUrl = (options.baseUrl ?? "http://127.0.0.1:8000").replace(/\/+$/, "");
    this.retry = options.retry ?? {};
    this.#apiKey = options.apiKey;
    const fetch = options.fetch ?? globalThis.fetch;
    // Called as a plain function: browsers refuse it as a method of anything but the window.
    this.#fetch = retrying((request) => fetch(request), this.retry);
    this.api = new Api({ client: this.#client() });
  }

  /**
   * Submit a spec, and come back with the job at once.
   *
   * @throws InvalidRequest with every problem of the spec and its place.
   */
  async submit(spec: JobSpec, options: SubmitOptions = {}): Promise<JobHandle> {
    const { idempotencyKey, ...rest } = options;
    const headers = { ...(idempotencyKey && { "idempotency-key": idempotencyKey }) };
    return new JobHandle(this, await this.api.submitJob({ body: spec, headers, ...rest }));
  }

  /**
   * Fit columns, and wait for the end.
   *
   * @throws InvalidRequest where the service refuses the spec, JobFailed where the job fails, UnreadableData where a
   *   column has a value that cannot be sent.
   */
  async fit(columns: Columns, options: FitOptions & { wait?: WaitOptions }): Promise<JobHandle> {
    const { wait, ...words } = options;
    const job = await this.submit(specOf(columns, words), wait?.signal ? { signal: wait.signal } : {});
    return job.wait(wait);
  }

  /** Get a job by its id. */
  async job(id: string): Promise<JobHandle> {
    return new JobHandle(this, await this.api.getJob({ path: { job_id: id } }));
  }

  /** Go through all jobs, the newest first; pages are fetched as they are needed. */
  async *jobs(query: NonNullable<ListJobsData["query"]> = {}): AsyncGenerator<JobHandle, void, undefined> {
    for (let after: string | null | undefined = query.after; ; ) {
      const page = await this.api.listJobs({ query: { ...query, ...(after && { after }) } });
      for (const job of page.data) yield new JobHandle(this, job);
      after = page.next_after;
      if (!after) return;
    }
  }

  /**
   * Upload a table or arrays.
   *
   * @param type The content type, such as `text/csv` or `application/vnd.apache.parquet`; that of the blob by default.
   */
  async upload(
    rows: Blob | string,
    query: UploadDatasetData["query"] & { type?: string } = {},
  ): Promise<Dataset> {
    const { type, ...rest } = query;
    const body = typeof rows === "string" ? new Blob([rows], { type: "text/csv" }) : rows;
    return this.api.uploadDataset({ body, query: rest, headers: { "Content-Type": type ?? body.type } });
  }

  /** Open a job's stream of events. For `JobHandle.stream`, which reads it. */
  openEvents(
    jobId: string,
    lastEventId: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const headers = new Headers({ Accept: "text/event-stream", ...this.#authorization() });
    if (lastEventId) headers.set("Last-Event-ID", lastEventId);
    const url = `${this.baseUrl}/v1/jobs/${encodeURIComponent(jobId)}/events`;
    return this.#send(new Request(url, { headers, ...(signal && { signal }) }));
  }

  #authorization(): Record<string, string> {
    return this.#apiKey ? { Authorization: `Bearer ${this.#apiKey}` } : {};
  }

  async #send(request: Request): Promise<Response> {
    try {
      return await this.#fetch(request);
    } catch (error) {
      throw request.signal.aborted ? error : unreachable(this.baseUrl, error);
    }
  }

  #client() {
    const send = (request: unknown) => this.#send(request as Request);
    const auth = () => this.#apiKey;
    const client = createClient(
      createConfig({ baseUrl: this.baseUrl, auth, fetch: send, throwOnError: true }),
    );
    client.interceptors.error.use((error, response) => (response ? apiError(response, error) : error));
    return client;
  }
}

function unreachable(baseUrl: string, cause: unknown): TransportError {
  return new TransportError(`${baseUrl} does not answer. Is the service running there?`, { cause });
}
