/** Responses of the demo shop's routes, before HEAD and the client's conditions are applied. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface CachingFacts {
  readonly cacheControl: string;
  readonly surrogateKey: string;
  readonly lastModifiedMs: number;
}

export function jsonAnswer(value: unknown, facts: CachingFacts): Answer {
  return cacheable(Buffer.from(JSON.stringify(value)), 'application/json', facts);
}

export function cacheable(body: Buffer, contentType: string, facts: CachingFacts): Answer {
  return {
    status: 200,
    headers: {
      'Content-Type': contentType,
      'Cache-Control': facts.cacheControl,
      'Surrogate-Key': facts.surrogateKey,
      'Last-Modified': new Date(facts.lastModifiedMs).toUTCString(),
      ETag: etagOf(body),
    },
    body,
  };
}

/** RFC 9457: a problem document. */
export function problem(
  status: number,
  title: string,
  headers: Readonly<Record<string, string>> = { 'Cache-Control': 'no-store' },
): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/problem+json', ...headers },
    body: Buffer.from(JSON.stringify({ title, status })),
  };
}

/** A strong entity tag, derived from the bytes. */
export function etagOf(body: Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
}

/** RFC 9110 §13.2.2, steps 3 and 4: sends 304 if the request's conditions allow it, and no content for HEAD. */
export function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (isNotModified(request, answer)) {
    const { 'Content-Type': _type, ...headers } = answer.headers;
    response.writeHead(304, headers).end();
    return;
  }
  const length = answer.status === 204 ? {} : { 'Content-Length': answer.body.length };
  response.writeHead(answer.status, { ...answer.headers, ...length });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

function isNotModified({ method, headers }: IncomingMessage, answer: Answer): boolean {
  if (answer.status !== 200 || (method !== 'GET' && method !== 'HEAD')) return false;
  const etag = answer.headers['ETag'];
  const lastModified = answer.headers['Last-Modified'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) return etag !== undefined && matchesEtag(ifNoneMatch, etag);
  const since = Date.parse(headers['if-modified-since'] ?? '');
  return lastModified !== undefined && Date.parse(lastModified) <= since;
}

/** RFC 9110 §8.8.3.2: weak comparison of an entity tag with a list of tags or `*`. */
export function matchesEtag(list: string, etag: string): boolean {
  return list.split(',').some((member) => {
    const tag = member.trim();
    return tag === '*' || tag.replace(/^W\//, '') === etag;
  });
}
