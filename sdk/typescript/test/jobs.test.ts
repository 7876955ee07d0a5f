// Jobs on the live service, from the spec to predictions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Job, type JobEvent, JobFailed, UnreadableData, WaitTimeout } from "../src/index.js";
import { fitd, line, long } from "./service.js";

test("columns are fitted, by words and defaults", async () => {
  const x = Float64Array.from({ length: 40 }, (_, i) => i / 10);
  const job = await fitd.fit({ x, y: x.map((value) => 5 * value + 7) }, { target: "y", name: "words" });
  assert.equal(job.status, "succeeded");
  assert.equal(job.data.name, "words");
  const { x: slope } = job.result!.coefficients as Record<string, number>;
  assert.ok(Math.abs((slope ?? 0) - 5) < 0.1, String(slope));
  const byColumn = await job.predict({ x: Float32Array.of(1, 2) });
  assert.ok(Math.abs((byColumn.columns?.y?.[0] as number) - 12) < 0.2);
  const byRow = await job.predict([{ x: 1 }]);
  assert.equal(byRow.rows?.[0]?.y, byColumn.columns?.y?.[0]);
});

test("classes are fitted where the target has texts", async () => {
  const size = [1, 2, 3, 11, 12, 13];
  const kind = ["small", "small", "small", "large", "large", "large"];
  const job = await fitd.fit({ size, kind }, { target: "kind" });
  const predicted = await job.predict({ size: [2, 12] });
  assert.deepEqual(predicted.columns?.kind, ["small", "large"]);
  assert.equal(predicted.probabilities?.small?.length, 2);
});

test("a value that JSON cannot carry is refused before it is sent; NaN is a missing one", async () => {
  const [x, y] = [
    [1, Infinity, 3],
    [1, 2, 3],
  ];
  await assert.rejects(fitd.fit({ x, y }, { target: "y" }), (error: Error) => {
    assert.ok(error instanceof UnreadableData);
    assert.match(error.message, /\/x\/1/);
    return true;
  });
  const preprocessing = { missing: "mean" as const };
  const job = await fitd.fit(
    { x: [1, NaN, 3, 4], y: [1, 2, 3, 4] },
    { target: "y", preprocessing, epochs: 5 },
  );
  assert.equal(job.status, "succeeded");
});

test("waiting tells progress, ends by its signal, and leaves the job alone", async () => {
  const job = await fitd.submit(long);
  const seen: Job[] = [];
  const stop = new AbortController();
  const waiting = job.wait({
    signal: stop.signal,
    onProgress: (now) => {
      seen.push(now);
      if (now.progress.epoch > 0) stop.abort();
    },
  });
  await assert.rejects(waiting, { name: "AbortError" });
  assert.ok(seen.length >= 1);
  await assert.rejects(job.wait({ timeout: 1 }), WaitTimeout);
  assert.equal((await job.refresh()).data.terminal, false);
  assert.equal((await (await job.cancel()).wait()).status, "cancelled");
  assert.ok(job.result, "what it had learnt is kept");
  await job.delete();
});

test("a job stands still and goes on", async () => {
  const job = await fitd.submit(long);
  await job.pause();
  while (job.status === "pausing") await job.refresh();
  assert.equal(job.status, "paused");
  await job.resume();
  await job.cancel();
  assert.equal((await job.wait()).status, "cancelled");
});

test("events come in order to the last one, and go on after any", async () => {
  const job = await fitd.submit(line);
  const events: JobEvent[] = [];
  for await (const event of job.stream()) events.push(event);
  const last = events.at(-1);
  assert.ok(last?.type === "status" && last.terminal);
  const epochs = events.flatMap((event) => (event.type === "history" ? event.columns.epoch : []));
  assert.deepEqual(
    epochs,
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
  const rest: JobEvent[] = [];
  for await (const event of job.stream({ lastEventId: events[0]!.id })) rest.push(event);
  assert.deepEqual(rest, events.slice(1));
  for await (const event of job.stream({ lastEventId: last.id })) assert.fail(event.type);
});

test("whoever stops listening is free at once", async () => {
  const job = await fitd.submit(long);
  for await (const event of job.stream()) if (event.type === "history") break;
  const stop = new AbortController();
  const listening = (async () => {
    for await (const _ of job.stream({ signal: stop.signal })) stop.abort();
  })();
  await assert.rejects(listening, { name: "AbortError" });
  await job.cancel();
  await job.wait();
});

test("a job leaves history, parameters and pictures, and runs again with changes", async () => {
  const job = await (await fitd.submit(line)).wait();
  const history = await job.history({ max_points: 10 });
  assert.equal(history.epoch.length, history.train_loss.length);
  assert.ok(history.epoch.length <= 10);
  assert.deepEqual(Object.keys((await job.parameters()).coefficients ?? {}), ["x"]);
  assert.match(await job.plot("loss"), /^<svg/);
  const again = await job.rerun({ training: { epochs: 60 } });
  assert.equal(again.data.rerun_of, job.id);
  assert.equal((await again.wait()).data.progress.epochs, 60);
  assert.equal((await fitd.job(job.id)).id, job.id);
});

test("a job that fails says why", async () => {
  const job = await fitd.submit({ ...line, optimizer: { type: "SGD", lr: 1e30 } });
  await assert.rejects(job.wait(), (error: Error) => {
    assert.ok(error instanceof JobFailed);
    assert.equal(error.code, job.data.error?.code);
    assert.notEqual(error.hint, "");
    return true;
  });
  assert.equal((await job.wait({ check: false })).status, "failed");
});

test("lists go over all pages", async () => {
  const name = `page-${crypto.randomUUID()}`;
  const made = [];
  for (let i = 0; i < 3; i++) made.unshift((await (await fitd.submit({ ...line, name })).wait()).id);
  const found = [];
  for await (const job of fitd.jobs({ name, limit: 2 })) found.push(job.id);
  assert.deepEqual(found, made);
});

test("a file is uploaded, trained on, and predicted from; all other calls are methods of api", async () => {
  const dataset = await fitd.upload("x,y\n0,1\n1,3\n2,5\n3,7\n", { name: "rows" });
  assert.equal(dataset.rows, 4);
  const job = await fitd.submit({ ...line, data: { type: "dataset", id: dataset.id, target: "y" } });
  await job.wait();
  const preview = await fitd.api.previewDataset({ path: { dataset_id: dataset.id }, query: { rows: 1 } });
  assert.deepEqual(preview.rows, [{ x: 0, y: 1 }]);
});
