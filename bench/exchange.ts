/** Sends single timed requests on kept connections. */
import { Agent, request } from 'node:http';
import type { Fields } from '../policies/http/fields.ts';

export interface TimedAnswer {
  readonly status: number;
  readonly fields: Fields;
  readonly content: Buffer;
  /** Monotonic milliseconds (`performance.now()`). */
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface Asking {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const TIMEOUT_MS = 30_000;

export class Client {
  readonly #agent = new Agent({ keepAlive: true });

  /** Rejects if no complete response comes within 30 s. */
  ask(url: string, { method = 'GET', headers = {}, body }: Asking = {}): Promise<TimedAnswer> {
    const startedAt = performance.now();
    return new Promise((resolve, reject) => {
      const sent = request(url, { agent: this.#agent, method, headers, timeout: TIMEOUT_MS }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.once('error', reject);
        response.once('end', () =>
          resolve({
            status: response.statusCode!,
            fields: response.rawHeaders,
            content: Buffer.concat(parts),
            startedAt,
            endedAt: performance.now(),
          }),
        );
      });
      sent.once('error', reject);
      sent.once('timeout', () => sent.destroy(new Error(`${url}: no answer within ${TIMEOUT_MS} ms`)));
      sent.end(body);
    });
  }

  /** Purges a tag. Rejects if the purge is refused. */
  async purge(adminUrl: string, tag: string): Promise<TimedAnswer> {
    const answer = await this.ask(`${adminUrl}/purge`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ tags: [tag] }),
    });
    if (answer.status !== 200)
      throw new Error(`a purge was answered with ${answer.status}: ${answer.content.toString()}`);
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }
}
