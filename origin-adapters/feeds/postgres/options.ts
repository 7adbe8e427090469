import { z } from 'zod';
import { size } from '../../../policies/config/units.ts';
import { tlsSchema } from '../tls.ts';
import { parseAddress } from './address.ts';

const publicationSchema = z.string().min(1).max(63);

/** The keys of a `postgres` feed in addition to those of every feed. */
export const postgresSchema = z.strictObject({
  url: z
    .string()
    .refine((url) => parseAddress(url) !== null, {
      error: 'postgres://user:password@host:port/database, without parameters',
    })
    .describe('The primary: postgres://user:password@host:port/database. The user needs REPLICATION.'),
  password: z
    .string()
    .min(1)
    .optional()
    .describe('The password, such as "${PGPASSWORD}"; in url it would have to be percent-encoded.'),
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, { error: 'up to 63 of a-z, 0-9 and _' })
    .describe('The replication slot, of plugin pgoutput. Every node of Weir needs one of its own.'),
  publication: z
    .union([publicationSchema, z.array(publicationSchema).min(1)], { error: 'a name, or a list of names' })
    .describe('The publication whose tables are followed, or several.'),
  tls: tlsSchema.optional().describe('TLS with a verified certificate; absent: none.'),
  'max-transaction': size({ least: 1024 })
    .prefault('64MiB')
    .describe(
      'The maximum memory for one transaction. A larger one invalidates everything that the feed may change.',
    ),
  'mark-after': size({ least: 1024 })
    .prefault('256KiB')
    .describe(
      'The amount of log after the last seen commit, which the slot retains, at which Weir commits an empty message.',
    ),
});

export type PostgresOptions = z.output<typeof postgresSchema>;
