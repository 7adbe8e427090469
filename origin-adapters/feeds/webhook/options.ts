import { z } from 'zod';
import { size, timeout } from '../../../policies/config/units.ts';
import { secretProblem } from './signature.ts';

const secretSchema = z
  .string()
  .refine((secret) => secretProblem(secret) === null, { error: 'whsec_ and base64, or another text' });

/** The keys of a `webhook` feed in addition to those of every feed. */
export const webhookSchema = z.strictObject({
  path: z
    .string()
    .regex(/^\/[^?#]*$/, { error: 'a path such as /webhooks/shop' })
    .describe('The path of deliveries on the main port.'),
  secret: z
    .union([secretSchema, z.array(secretSchema).min(1)], { error: 'a secret, or a list while keys rotate' })
    .describe('The signing secret (Standard Webhooks), or several while they rotate.'),
  tolerance: timeout()
    .prefault('5m')
    .describe("The maximum difference between a delivery's timestamp and this machine's time."),
  'max-body': size({ least: 1 })
    .prefault('1MiB')
    .describe('The maximum size of a delivery; a larger one gets 413.'),
  heartbeats: z
    .boolean()
    .prefault(false)
    .describe('The sender delivers at least once in max-silence; without a delivery the feed is not live.'),
});

export type WebhookOptions = z.output<typeof webhookSchema>;
