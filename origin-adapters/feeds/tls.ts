import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { FeedFailure } from './feed.ts';

/** The key `tls` of a feed. Its files are absolute paths once the configuration is compiled. */
export const tlsSchema = z
  .strictObject({
    ca: z.string().min(1).optional().describe('File of the authorities to trust (PEM).'),
    cert: z.string().min(1).optional().describe("File of the client's certificate chain (PEM)."),
    key: z.string().min(1).optional().describe("File of the client's private key (PEM)."),
    'server-name': z.string().min(1).optional().describe("The name that the server's certificate must have."),
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
    error: 'cert and key together, or neither',
  });

/** Options of `node:tls`; absent if not configured. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

export type ReadTls =
  | { readonly kind: 'read'; readonly material: TlsMaterial }
  | { readonly kind: 'failed'; readonly failure: FeedFailure };

/** Reads the files at each connection, so that a renewed certificate is used. */
export async function readTls(options: z.output<typeof tlsSchema>): Promise<ReadTls> {
  const material: Record<string, string> = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const file = options[name];
    if (file === undefined) continue;
    try {
      material[name] = await readFile(file, 'utf8');
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const message = `tls.${name} can't be read: ${reason}`;
      return { kind: 'failed', failure: { kind: 'refused', retry: 'slowly', message, cause } };
    }
  }
  if (options['server-name'] !== undefined) material['servername'] = options['server-name'];
  return { kind: 'read', material };
}

/** Whether a connection failed because one side does not trust the other. */
export function isTlsFailure(error: unknown): error is Error & { readonly code: string } {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false;
  return /CERT|^ERR_TLS_|^ERR_SSL_|_TO_VERIFY_|ISSUER/.test(error.code);
}
