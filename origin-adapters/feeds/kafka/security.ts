import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { FeedFailure } from '../feed.ts';
import type { ClientOptions } from './client.ts';
import { failed } from './failure.ts';

const pem = z
  .string()
  .regex(/^(\/|-----BEGIN )/, { error: 'the absolute path of a PEM file, or the PEM text itself' });

export const tlsSchema = z
  .union(
    [
      z.boolean(),
      z.strictObject({
        ca: pem
          .optional()
          .describe("The authority that signed the brokers' certificates; absent: the well-known ones."),
        cert: pem.optional().describe('The certificate to show to brokers.'),
        key: pem.optional().describe('The private key of that certificate.'),
        'server-name': z
          .string()
          .min(1)
          .optional()
          .describe("The name to expect in the brokers' certificates."),
      }),
    ],
    { error: 'true, false, or { ca, cert, key, server-name }' },
  )
  .prefault(false)
  .describe('Use TLS with the brokers: true, or its options.');

export const saslSchema = z
  .strictObject({
    mechanism: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).describe('The SASL mechanism.'),
    username: z.string().min(1).describe('The user.'),
    password: z.string().min(1).describe('The password, such as ${KAFKA_PASSWORD}.'),
  })
  .optional()
  .describe('Credentials. Use PLAIN only over TLS, because it sends the password unencrypted.');

export interface SecurityOptions {
  readonly tls: z.output<typeof tlsSchema>;
  readonly sasl?: z.output<typeof saslSchema>;
}

export type Security =
  | { readonly kind: 'read'; readonly options: ClientOptions['security'] }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** Reads the configured files. */
export async function readSecurity({ tls, sasl }: SecurityOptions): Promise<Security> {
  const credentials = sasl === undefined ? {} : { sasl };
  if (tls === false) return { kind: 'read', options: credentials };
  if (tls === true) return { kind: 'read', options: { tls: {}, ...credentials } };
  const { 'server-name': tlsServerName, ...files } = tls;
  try {
    const texts = Object.entries(files).map(async ([name, value]) => [name, await textOf(value)] as const);
    const server = tlsServerName === undefined ? {} : { tlsServerName };
    return {
      kind: 'read',
      options: { tls: Object.fromEntries(await Promise.all(texts)), ...server, ...credentials },
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      kind: 'failed',
      failure: failed('refused', 'slowly', `can't read what tls names: ${message}`, error),
    };
  }
}

async function textOf(pathOrText: string): Promise<string> {
  return pathOrText.startsWith('/') ? await readFile(pathOrText, 'utf8') : pathOrText;
}
