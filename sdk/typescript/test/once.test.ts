// What may be sent twice and what may not, and lines that fall silent: answers are made up here, no service is asked.

import assert from "node:assert/strict";
import { test } from "node:test";
import { follow } from "../src/events.js";
import { retrying } from "../src/retries.js";

const options = { retries: 3, firstDelay: 1 };
const problem = { "Content-Type": "application/problem+json" };
const lost = new TypeError("fetch failed");

/** Send one request; the replies come one after the other. */
async function sent(method: string, path: string, ...replies: (Response | Error)[]) {
  let times = 0;
  const send = retrying(async () => {
    const reply = replies[times++]!;
    if (reply instanceof Error) throw reply;
    return reply;
  }, options);
  const answer = await send(new Request(`http://fitd${path}`, { method })).catch((error: Error) => error);
  return { answer, times };
}

test("a job that is gone after a lost answer was deleted", async () => {
  for (const first of [lost, new Response("", { status: 502 })]) {
    const { answer } = await sent("DELETE", "/v1/jobs/job_a", first, new Response("{}", { status: 404 }));
    assert.equal((answer as Response).status, 204);
  }
});

test("a job that was never there is not found, also where the service was busy before", async () => {
  const busy = new Response("{}", { status: 503, headers: problem });
  const { answer } = await sent("DELETE", "/v1/jobs/job_a", busy, new Response("{}", { status: 404 }));
  assert.equal((answer as Response).status, 404);
});

test("control is sent again only where nothing was done", async () => {
  const done = () => new Response("{}", { status: 200 });
  assert.deepEqual(await sent("POST", "/v1/jobs/job_a/resume", lost, done()), { answer: lost, times: 1 });
  const gateway = await sent("POST", "/v1/sweeps/sweep_a/cancel", new Response("", { status: 502 }), done());
  assert.deepEqual([(gateway.answer as Response).status, gateway.times], [502, 1]);
  const busy = new Response("{}", { status: 503, headers: problem });
  assert.equal((await sent("POST", "/v1/jobs/job_a/pause", busy, done())).times, 2);
  assert.equal((await sent("POST", "/v1/jobs", lost, done())).times, 2);
});

test("a line that falls silent is opened anew after the last event", async () => {
  const opened: (string | undefined)[] = [];
  const open = async (last: string | undefined) => {
    opened.push(last);
    const terminal = opened.length > 1;
    const data = JSON.stringify({ type: "status", status: terminal ? "succeeded" : "running", terminal });
    const bytes = new TextEncoder().encode(`id: ${opened.length}\nevent: status\ndata: ${data}\n\n`);
    // It is never closed: that is what a dead line looks like from here.
    return new Response(new ReadableStream({ start: (to) => to.enqueue(bytes) }));
  };
  const seen: string[] = [];
  for await (const event of follow(open, { silence: 20 }, options)) {
    seen.push(event.id);
    if (event.type === "status" && event.terminal) break;
  }
  assert.deepEqual([seen, opened], [["1", "2"], [undefined, "1"]]);
});
