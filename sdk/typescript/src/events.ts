// Server-sent events over fetch, resumed where the line broke.

import { apiError, TransportError } from "./errors.js";
import type { Event } from "./generated/index.js";
import { delay, type RetryOptions, sleep } from "./retries.js";

/** An event of a job, with the id that resumes after it. */
export type JobEvent = Event & { id: string };

/** One message as it was sent. */
export interface Message {
  id: string;
  event: string;
  data: string;
}

/** How to open a stream after an id. */
export type Open = (lastEventId: string | undefined, signal: AbortSignal | undefined) => Promise<Response>;

/** What a stream may be told. */
export interface StreamOptions {
  /** Ends the stream; its reason is thrown. */
  signal?: AbortSignal;
  /** Go on after the event with this id instead of at the job's beginning. */
  lastEventId?: string;
  /**
   * Milliseconds of silence after which the line is taken for dead and opened anew; 60 000 by default. The service says
   * something every 15 seconds.
   */
  silence?: number;
}

const SILENCE = 60_000;

/**
 * Follow a job's events to its last one, without gap or repeat, however often the line breaks.
 *
 * @throws ApiError where the service refuses, TransportError where it does not come back.
 */
export async function* follow(
  open: Open,
  options: StreamOptions,
  retry: RetryOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  let last = options.lastEventId;
  let ended = false;
  for (let failed = 0; ; failed++) {
    const response = await open(last, options.signal);
    if (response.status === 204) return;
    if (!response.ok || !response.body) throw apiError(response, await json(response));
    try {
      for await (const message of messages(response.body, options.silence ?? SILENCE)) {
        const event = { id: message.id, ...JSON.parse(message.data) } as JobEvent;
        [last, failed] = [message.id, 0];
        ended = event.type === "status" && event.terminal;
        yield event;
      }
      if (ended) return;
    } catch (error) {
      if (options.signal?.aborted || error instanceof SyntaxError) throw error;
      if (failed >= (retry.retries ?? 4))
        throw new TransportError("The stream of events broke.", { cause: error });
    }
    await sleep(delay(failed, retry), options.signal);
  }
}

/**
 * Read messages from a body, as the standard of server-sent events says; comments and unknown fields are dropped.
 *
 * @throws Error where nothing comes for `silence` milliseconds.
 */
export async function* messages(
  body: ReadableStream<Uint8Array>,
  silence = SILENCE,
): AsyncGenerator<Message, void, undefined> {
  let [id, event, data] = ["", "message", [] as string[]];
  for await (const line of lines(body, silence)) {
    if (line === "") {
      if (data.length > 0) yield { id, event, data: data.join("\n") };
      [event, data] = ["message", []];
      continue;
    }
    const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "id") id = value ?? "";
    else if (field === "event") event = value ?? "";
    else if (field === "data") data.push(value ?? "");
  }
}

async function* lines(
  body: ReadableStream<Uint8Array>,
  silence: number,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const part = await within(silence, reader.read());
      if (part.done) break;
      rest += decoder.decode(part.value, { stream: true });
      // A carriage return at the end may be half of a line's end: it waits for what follows.
      const whole = rest.split(/\r\n|\n|\r(?=[^\n])/);
      rest = whole.pop() ?? "";
      yield* whole;
    }
  } finally {
    // Whoever stops listening must not keep the connection open.
    await reader.cancel().catch(() => undefined);
  }
}

/** Wait for something, but no longer than so many milliseconds. */
async function within<T>(milliseconds: number, awaited: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Nothing came for ${milliseconds} ms.`)), milliseconds);
  });
  try {
    return await Promise.race([awaited, over]);
  } finally {
    clearTimeout(timer);
  }
}

async function json(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
