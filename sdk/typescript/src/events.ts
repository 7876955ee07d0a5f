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
}

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
      for await (const message of messages(response.body)) {
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

/** Read messages from a body, as the standard of server-sent events says; comments and unknown fields are dropped. */
export async function* messages(body: ReadableStream<Uint8Array>): AsyncGenerator<Message, void, undefined> {
  let [id, event, data] = ["", "message", [] as string[]];
  for await (const line of lines(body)) {
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

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
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

async function json(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
