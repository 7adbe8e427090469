import { z } from 'zod';
import { tlsSchema } from '../tls.ts';

const server = z.string().regex(/^(nats|tls):\/\/(\[[\da-fA-F:.]+\]|[^\s/?#@:]+)(:\d{1,5})?$/, {
  error: 'a URL such as nats://host:4222, or tls: (credentials have keys of their own)',
});

/** A subject with `*` for one token and a final `>` for all that follow. */
const subject = z.string().regex(/^([^\s.*>]+|\*)(\.([^\s.*>]+|\*))*(\.>)?$|^>$/, {
  error: 'a subject such as shop.products.* or shop.>',
});

/** The keys of a `nats` feed in addition to those of every feed. */
export const natsSchema = z.strictObject({
  servers: z
    .union([server, z.array(server).min(1)], { error: 'a URL such as nats://host:4222, or a list of them' })
    .describe('The server, or several of one cluster: nats://host:port, or tls:// to require TLS.'),
  stream: z
    .string()
    .regex(/^[^\s.*>/\\]+$/, { error: 'the name of a stream' })
    .describe('The name of the JetStream stream.'),
  subjects: z
    .array(subject)
    .min(1)
    .optional()
    .describe('Only messages of these subjects are changes; others are skipped. Absent: all.'),
  domain: z
    .string()
    .regex(/^[^\s.*>]+$/, { error: 'the name of a JetStream domain' })
    .optional()
    .describe('The JetStream domain, if it is not the default.'),
  username: z.string().min(1).optional().describe('The user.'),
  password: z.string().min(1).optional().describe('The password, such as ${NATS_PASSWORD}.'),
  token: z.string().min(1).optional().describe('An authentication token, such as ${NATS_TOKEN}.'),
  credentials: z
    .string()
    .min(1)
    .optional()
    .describe("A credentials file's content (.creds), such as ${NATS_CREDENTIALS}."),
  nkey: z.string().min(1).optional().describe('The seed of an nkey, such as ${NATS_NKEY}.'),
  tls: tlsSchema.optional().describe('Requires TLS: authorities, client certificate and server name.'),
});

export type NatsOptions = z.output<typeof natsSchema>;
