import { createHmac } from 'node:crypto';
import type { FeedDelivery } from '../../origin-adapters/feeds/feed.ts';

export const webhookKey = Buffer.from('0123456789abcdef0123456789abcdef');
export const webhookSecret = `whsec_${webhookKey.toString('base64')}`;

export interface DeliveryOptions {
  readonly id?: string;
  /** Wall-clock milliseconds. */
  readonly atMs?: number;
  readonly key?: Buffer;
  readonly fields?: readonly string[];
}

let nextId = 1;

/** A delivery signed by the Standard Webhooks specification. */
export function signedDelivery(content: unknown, options: DeliveryOptions = {}): FeedDelivery {
  const body = Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
  const id = options.id ?? `msg_${nextId}`;
  nextId += 1;
  const timestamp = String(Math.floor((options.atMs ?? Date.now()) / 1000));
  const signature = signatureOf(id, timestamp, body, options.key ?? webhookKey);
  return {
    method: 'POST',
    body,
    fields: [
      'Webhook-Id',
      id,
      'Webhook-Timestamp',
      timestamp,
      'Webhook-Signature',
      `v1,${signature}`,
      ...(options.fields ?? ['Content-Type', 'application/json']),
    ],
  };
}

export function signatureOf(id: string, timestamp: string, body: Uint8Array, key: Buffer): string {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
}
