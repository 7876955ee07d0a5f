// What can go wrong, as classes whose message says what to do about it.

import type { FieldProblem, JobError, ProblemDetails } from "./generated/index.js";

/** The root of all errors of this package. */
export class FitdError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** There was no answer: the service cannot be reached, or the connection broke. */
export class TransportError extends FitdError {}

/** The time for waiting is over; what was waited for goes on. */
export class WaitTimeout extends FitdError {}

/** The rows are nothing that can be sent. */
export class UnreadableData extends FitdError {}

/** A job has failed: it was waited for, and there is nothing to use. */
export class JobFailed extends FitdError {
  readonly code: string;
  readonly hint: string;

  constructor(
    readonly jobId: string,
    error: JobError,
  ) {
    super(`${jobId} has failed: ${error.message} (${error.code}) ${error.hint}`.trim());
    this.code = error.code;
    this.hint = error.hint;
  }
}

/** The service answered with a problem. */
export class ApiError extends FitdError {
  /** Stable name of the problem in snake_case, for programs. */
  readonly code: string;
  /** What is wrong, for people. */
  readonly detail: string;
  /** What to do about it; empty where the service has no advice. */
  readonly hint: string;
  /** Everything that is wrong with the request, each with its place: `pointer` into the body, or `parameter`. */
  readonly problems: readonly FieldProblem[];

  constructor(
    readonly status: number,
    problem: Partial<ProblemDetails>,
    /** Seconds after which the service wants to be asked again; undefined where it did not say. */
    readonly retryAfter?: number,
  ) {
    super(text(status, problem));
    this.code = problem.code ?? "http_error";
    this.detail = problem.detail ?? "";
    this.hint = problem.hint ?? "";
    this.problems = problem.errors ?? [];
  }
}

/** There is no such thing, or it belongs to somebody else. */
export class NotFound extends ApiError {}
/** The state of the thing forbids it. */
export class Conflict extends ApiError {}
/** Something is wrong with what was sent: see `problems`. */
export class InvalidRequest extends ApiError {}
/** No key, or one that is not known. */
export class Unauthorized extends ApiError {}
/** The key does not allow this. */
export class Forbidden extends ApiError {}
/** More was sent than the service takes. */
export class TooLarge extends ApiError {}
/** Too often, or too much at once. */
export class RateLimited extends ApiError {}
/** The service cannot answer now, or failed. */
export class ServerError extends ApiError {}

const CLASSES: Record<number, typeof ApiError> = {
  400: InvalidRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  406: InvalidRequest,
  409: Conflict,
  413: TooLarge,
  415: InvalidRequest,
  422: InvalidRequest,
  429: RateLimited,
};

/** Build the error that an answer tells; `body` is its JSON, or its text where it has none. */
export function apiError(response: Response, body: unknown): ApiError {
  const problem = isProblem(body) ? body : { detail: typeof body === "string" ? body.slice(0, 300) : "" };
  const Class = CLASSES[response.status] ?? (response.status >= 500 ? ServerError : ApiError);
  return new Class(response.status, problem, secondsOf(response));
}

/** Read Retry-After: seconds, or a date. */
export function secondsOf(response: Response): number | undefined {
  const sent = response.headers.get("Retry-After");
  if (!sent) return undefined;
  const seconds = Number(sent);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(sent);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

function isProblem(body: unknown): body is ProblemDetails {
  return typeof body === "object" && body !== null && "detail" in body;
}

function text(status: number, problem: Partial<ProblemDetails>): string {
  const lines = (problem.errors ?? []).map((one) =>
    `  ${one.pointer ?? one.parameter ?? ""}: ${one.message} ${one.hint}`.trimEnd(),
  );
  const head = `${status} ${problem.code ?? ""}: ${problem.detail ?? ""} ${problem.hint ?? ""}`.trim();
  return [head, ...lines].join("\n");
}
