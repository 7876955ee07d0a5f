// What goes wrong between a client and the service, and what the client makes of it.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import {
  Fitd,
  InvalidRequest,
  type JobEvent,
  messages,
  NotFound,
  ServerError,
  TransportError,
} from "../src/index.js";
import { Between } from "./between.js";
import { fitd, line, url } from "./service.js";

const retry = { retries: 3, firstDelay: 5 };

test("a refused spec tells every problem, its place and what to do", async () => {
  const bad = { ...line, optimizer: { type: "SGD", lr: -1 }, training: { epochs: 0 } } as typeof line;
  await assert.rejects(fitd.submit(bad), (error: Error) => {
    assert.ok(error instanceof InvalidRequest);
    assert.equal(error.status, 422);
    assert.equal(error.code, "invalid_spec");
    assert.deepEqual(error.problems.map((one) => one.pointer).sort(), ["/optimizer/lr", "/training/epochs"]);
    assert.ok(error.problems.every((one) => one.hint && error.message.includes(one.hint)));
    return true;
  });
});

test("what is not there is a NotFound, also as a stream", async () => {
  await assert.rejects(fitd.job("job_none"), NotFound);
  const job = await (await fitd.submit(line)).wait();
  await job.delete();
  await assert.rejects(job.stream().next(), NotFound);
});

test("a service that is not there is told in words", async () => {
  const nobody = new Fitd({ baseUrl: "http://127.0.0.1:1", retry: { retries: 1, firstDelay: 1 } });
  await assert.rejects(nobody.job("job_x"), (error: Error) => {
    assert.ok(error instanceof TransportError);
    assert.match(error.message, /127\.0\.0\.1:1 does not answer/);
    return true;
  });
});

test("a submission whose answers are lost is one job, however often it is sent", async () => {
  // The service hears each of them; the first two answers never arrive.
  const proxy = await Between.before(
    url,
    () => false,
    (times) => (times <= 2 ? 0 : Infinity),
  );
  const name = `once-${crypto.randomUUID()}`;
  const job = await new Fitd({ baseUrl: proxy.url, retry }).submit({ ...line, name });
  proxy.close();
  const keys = proxy.asked.map((asked) => asked.headers["idempotency-key"]);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  const found = [];
  for await (const one of fitd.jobs({ name })) found.push(one.id);
  assert.deepEqual(found, [job.id]);
});

test("an own key is sent as it is", async () => {
  const idempotencyKey = crypto.randomUUID();
  const first = await fitd.submit(line, { idempotencyKey });
  assert.equal((await fitd.submit(line, { idempotencyKey })).id, first.id);
});

test("a busy service is asked again when it says, and not for ever", async () => {
  const busy = (times: number) => ({ "Retry-After": times === 1 ? "0" : new Date().toUTCString() });
  const proxy = await Between.before(url, (_asked, answer, times) => {
    if (times > 2) return false;
    answer.writeHead(times === 1 ? 429 : 503, busy(times)).end();
    return true;
  });
  const client = new Fitd({ baseUrl: proxy.url, retry });
  assert.equal((await client.api.healthz()).status, "ok");
  assert.equal(proxy.asked.length, 3);
  proxy.close();

  const down = await Between.before(url, (_asked, answer) => {
    answer.writeHead(503, { "Content-Type": "text/plain", "Retry-After": "0" }).end("closed");
    return true;
  });
  await assert.rejects(new Fitd({ baseUrl: down.url, retry }).api.healthz(), (error: Error) => {
    assert.ok(error instanceof ServerError);
    assert.equal(error.detail, "closed");
    assert.equal(error.retryAfter, 0);
    return true;
  });
  assert.equal(down.asked.length, 4);
  down.close();
});

test("what a client did wrong is not sent twice", async () => {
  const proxy = await Between.before(url, () => false);
  const client = new Fitd({ baseUrl: proxy.url, retry });
  await assert.rejects(client.job("job_none"), NotFound);
  assert.equal(proxy.asked.length, 1);
  proxy.close();
});

test("a stream that breaks again and again has every event once", async () => {
  const job = await (await fitd.submit({ ...line, training: { epochs: 3000, seed: 0 } })).wait();
  const whole: JobEvent[] = [];
  for await (const event of job.stream()) whole.push(event);
  // Each time the line breaks, a little later than before: in the middle of a message, too.
  const proxy = await Between.before(
    url,
    () => false,
    (times) => (times > 1 && times < 8 ? 90 * times : Infinity),
  );
  const seen: JobEvent[] = [];
  const client = new Fitd({ baseUrl: proxy.url, retry: { retries: 10, firstDelay: 1 } });
  for await (const event of (await client.job(job.id)).stream()) seen.push(event);
  assert.deepEqual(seen, whole);
  assert.ok(proxy.asked.length > 3, String(proxy.asked.length));
  assert.ok(proxy.asked.some((asked) => asked.headers["last-event-id"] === whole[0]!.id));
  proxy.close();
});

test("messages are read however they are cut", async () => {
  const text =
    ': hello\r\nid: 7\r\nevent: status\r\ndata: {"a":\r\ndata:1}\r\n\r\ndata: é\n\ndata: unfinished';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 1000]) {
    const cut = new TransformStream<Uint8Array, Uint8Array>({
      transform: (whole, to) => {
        for (let at = 0; at < whole.length; at += size) to.enqueue(whole.slice(at, at + size));
      },
    });
    const read = [];
    for await (const message of messages(new Blob([bytes]).stream().pipeThrough(cut))) read.push(message);
    assert.deepEqual(read, [
      { id: "7", event: "status", data: '{"a":\n1}' },
      { id: "7", event: "message", data: "é" },
    ]);
  }
});

test("the key is sent with everything", async () => {
  const proxy = await Between.before(url, () => false);
  const client = new Fitd({ baseUrl: `${proxy.url}/`, apiKey: "secret" });
  const job = await (await client.submit(line)).wait();
  for await (const _ of job.stream());
  assert.ok(proxy.asked.length >= 3);
  assert.ok(proxy.asked.every((asked) => asked.headers.authorization === "Bearer secret"));
  proxy.close();
});

test("nothing in the package needs Node, or another package", () => {
  const root = new URL("../src/", import.meta.url);
  const files = readdirSync(root, { recursive: true }).map(String);
  const scripts = files.filter((name) => name.endsWith(".js"));
  assert.ok(scripts.length > 8);
  for (const name of scripts) {
    const imported = readFileSync(new URL(name, root), "utf-8").matchAll(
      /(?:from|import)\s*\(?["']([^"']+)["']/g,
    );
    for (const [, target] of imported) assert.match(target!, /^\.{1,2}\//, `${name} imports ${target}`);
  }
});
