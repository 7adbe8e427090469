import { z } from 'zod';
import { tlsSchema } from '../tls.ts';

/** The keys of a `redis-stream` feed in addition to those of every feed. */
export const redisStreamSchema = z.strictObject({
  url: z
    .string()
    .regex(
      /^rediss?:\/\/([^\s/?#@]*@)?[^\s/?#@:]+(:\d{1,5})?(\/\d*)?$|^rediss?:\/\/([^\s/?#@]*@)?\[[\da-fA-F:.]+\](:\d{1,5})?(\/\d*)?$/,
      {
        error: 'a URL such as redis://host:6379/0, or rediss: over TLS',
      },
    )
    .describe('The server: redis://host:port/database, or rediss: over TLS. The master, not a replica.'),
  stream: z.string().min(1).describe('The key of the stream.'),
  field: z
    .string()
    .min(1)
    .prefault('data')
    .describe('The field that holds the message. "*": the fields of an entry are the change itself.'),
  username: z.string().min(1).optional().describe('The ACL user.'),
  password: z.string().min(1).optional().describe('The password, such as ${REDIS_PASSWORD}.'),
  tls: tlsSchema.optional().describe('For rediss: authorities, client certificate and server name.'),
});

export type RedisStreamOptions = z.output<typeof redisStreamSchema>;
