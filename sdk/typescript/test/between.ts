// A proxy between the client and the service that breaks what a test wants broken.

import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What was asked, as it arrived. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
}

/** Does something else than to pass a request on; false passes it on. */
export type Fault = (asked: Asked, answer: ServerResponse, times: number) => boolean;

export class Between {
  readonly asked: Asked[] = [];
  readonly #server: Server;

  private constructor(target: URL, fault: Fault, cut: (times: number) => number) {
    this.#server = createServer((incoming, answer) => {
      const asked = { method: incoming.method ?? "", path: incoming.url ?? "", headers: incoming.headers };
      const times = this.asked.push(asked);
      if (fault(asked, answer, times)) return void incoming.resume();
      const headers = { ...incoming.headers, host: target.host };
      const passed = request(
        { ...urlParts(target), path: asked.path, method: asked.method, headers },
        (from) => {
          answer.writeHead(from.statusCode ?? 502, from.headers);
          let left = cut(times);
          from.on("data", (part: Buffer) => {
            answer.write(part.subarray(0, left));
            left -= part.length;
            // What was written must be on its way before the line breaks, or nothing of it arrives.
            if (left <= 0) setTimeout(() => answer.destroy(), 50);
          });
          from.on("end", () => left > 0 && answer.end());
        },
      );
      incoming.pipe(passed);
    });
  }

  /** Listen before a service; `cut` gives the bytes of the n-th answer after which the line breaks. */
  static async before(
    url: string,
    fault: Fault,
    cut: (times: number) => number = () => Infinity,
  ): Promise<Between> {
    const proxy = new Between(new URL(url), fault, cut);
    await new Promise<void>((done) => proxy.#server.listen(0, "127.0.0.1", done));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

function urlParts(url: URL): { hostname: string; port: string } {
  return { hostname: url.hostname, port: url.port };
}
