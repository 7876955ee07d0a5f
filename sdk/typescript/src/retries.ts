// One request, sent until it is answered: what may pass is tried again, and no job is submitted twice.

import { secondsOf } from "./errors.js";

/** How often and how patiently a request is sent again. */
export interface RetryOptions {
  /** Tries after the first one; 4 by default, 0 for none. */
  retries?: number;
  /** Longest wait before the first retry in milliseconds; it doubles with each. 250 by default. */
  firstDelay?: number;
  /** Longest wait in milliseconds, also where the service asks for more; 30 000 by default. */
  longestDelay?: number;
}

type Fetch = (request: Request) => Promise<Response>;

// No answer counts as well. A 500 is told to whoever looks after the service, and the next try may find it mended.
const PASSING = new Set([429, 500, 502, 503, 504]);

// Done twice, these do something else than done once: after a lost answer nobody knows, and the caller has to look.
const CONTROL = /\/(?:cancel|pause|resume)$/;

/**
 * Make a fetch that sends again. A POST gets an Idempotency-Key, the same in all tries, unless it has one.
 *
 * Control of a job or sweep is sent again only where the service says that it did nothing. A DELETE whose answer was lost
 * may find nothing there any more: then it was done.
 *
 * An answer is read to its end here, so that one which breaks in the middle is asked for again; only events are not.
 */
export function retrying(fetch: Fetch, options: RetryOptions = {}): Fetch {
  const retries = options.retries ?? 4;
  return async (request) => {
    if (request.method === "POST" && !request.headers.has("Idempotency-Key")) {
      request.headers.set("Idempotency-Key", crypto.randomUUID());
    }
    const control = request.method === "POST" && CONTROL.test(new URL(request.url).pathname);
    let lost = false;
    for (let tried = 0; ; tried++) {
      const last = tried >= retries;
      // A body can be read once only: each try but the last sends a copy.
      const answer = await attempt(fetch, last ? request : request.clone(), last || control);
      if (answer?.status === 404 && lost && request.method === "DELETE") return new Response(null, { status: 204 });
      if (answer && (last || !PASSING.has(answer.status) || (control && !didNothing(answer)))) return answer;
      lost ||= !answer || !didNothing(answer);
      await answer?.body?.cancel();
      await sleep(delay(tried, options, answer), request.signal);
    }
  };
}

async function attempt(fetch: Fetch, request: Request, last: boolean): Promise<Response | undefined> {
  try {
    return await whole(await fetch(request));
  } catch (error) {
    if (last || request.signal.aborted) throw error;
    return undefined;
  }
}

/** Tell whether the service itself says that it has not begun: a proxy may say 503 of what was done. */
function didNothing(answer: Response): boolean {
  const type = answer.headers.get("Content-Type") ?? "";
  return answer.status === 429 || (answer.status === 503 && type.startsWith("application/problem+json"));
}

async function whole(answer: Response): Promise<Response> {
  const { status, statusText, headers } = answer;
  if (!answer.body || headers.get("Content-Type")?.startsWith("text/event-stream")) return answer;
  const body = await answer.arrayBuffer();
  // Some statuses may have no body, not even an empty one.
  return new Response(body.byteLength > 0 ? body : null, { status, statusText, headers });
}

/** Milliseconds to wait: a random part of a doubling time, so that many clients do not come back at once. */
export function delay(tried: number, options: RetryOptions, answer?: Response): number {
  const longest = options.longestDelay ?? 30_000;
  const asked = answer && secondsOf(answer);
  if (asked !== undefined) return Math.min(longest, asked * 1000 + Math.random() * 100);
  return Math.random() * Math.min(longest, (options.firstDelay ?? 250) * 2 ** tried);
}

/** Wait, unless the signal ends it: then its reason is thrown. */
export function sleep(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end, { once: true });
  });
}
