import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { AccessRecords } from '../../proxy/request/access-records.ts';
import { WebhookHandler } from '../../proxy/request/handlers/webhook.ts';
import type { RequestContext } from '../../proxy/request/context.ts';

const MAX_BYTES = 2 ** 20;

function deliveries() {
  const accessRecords = { whenEnded: () => {}, abandoned: () => {} } as unknown as AccessRecords;
  const handler = new WebhookHandler(accessRecords, async () => ({ status: 204, detail: '' }));
  return {
    /**
     * A delivery of which `bytes` bytes have arrived: its body, to send the rest, and the status of its
     * response.
     */
    begin(bytes: number) {
      const body = new PassThrough({ highWaterMark: MAX_BYTES });
      body.write(Buffer.alloc(bytes));
      const status = new Promise<number>((respond) => {
        const exchange = { method: 'POST', fields: [], body, respond };
        handler.enter({ exchange } as unknown as RequestContext, '/hooks', MAX_BYTES);
      });
      return { body, status };
    },
  };
}

describe('deliveries in progress', () => {
  it('are held in memory up to a limit, beyond which deliveries with much content get 503', async () => {
    const { begin } = deliveries();
    const begun = Array.from({ length: 70 }, () => begin(MAX_BYTES - 1));
    await Promise.any(begun.slice(64).map(({ status }) => status));
    const statuses = await Promise.all(begun.slice(65).map(({ status }) => status));
    expect(new Set(statuses)).toEqual(new Set([503]));
    const small = begin(1_000);
    small.body.end();
    expect(await small.status).toBe(204);
    for (const { body } of begun) body.end();
    expect(await begun[0]!.status).toBe(204);
    const later = begin(MAX_BYTES - 1);
    later.body.end();
    expect(await later.status).toBe(204);
  });
});
