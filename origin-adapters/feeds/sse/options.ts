import { z } from 'zod';

/** The keys of an `sse` feed in addition to those of every feed. */
export const sseSchema = z.strictObject({
  url: z
    .string()
    .regex(/^(https?:\/\/|demo:)/, { error: 'an http or https URL' })
    .describe('The http or https URL of the event stream.'),
  replay: z
    .boolean()
    .prefault(true)
    .describe(
      'Whether the origin replays what came after Last-Event-ID. If not, a lost connection is a gap.',
    ),
  authorization: z
    .string()
    .min(1)
    .optional()
    .describe('The Authorization header to send, such as "Bearer ${TOKEN}".'),
});

export type SseOptions = z.output<typeof sseSchema>;
