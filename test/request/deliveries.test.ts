import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { AccessRecords } from '../../proxy/request/access-records.ts';
import { WebhookHandler } from '../../proxy/request/handlers/webhook.ts';
import type { RequestContext } from '../../proxy/request/context.ts';

const MAX_BYTES = 2 ** 20;

function deliveries() {
  const accessRecords = { whenEnded: () => {}, abandoned: () => {} } as unknown as AccessRecords;
  const way = new WebhookHandler(accessRecords, async () => ({ status: 204, detail: '' }));
  return {
    /** What has come of one so far, the rest of it, and how it is answered. */
    begin(bytes: number) {
      const body = new PassThrough({ highWaterMark: MAX_BYTES });
      body.write(Buffer.alloc(bytes));
      const status = new Promise<number>((respond) => {
        const exchange = { method: 'POST', fields: [], body, respond };
        way.enter({ exchange } as unknown as RequestContext, '/hooks', MAX_BYTES);
      });
      return { body, status };
    },
  };
}

describe('deliveries that are being read', () => {
  it('are held in memory up to a bound, beyond which those that have come far are refused', async () => {
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
