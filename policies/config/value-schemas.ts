/** Schemas of single values. Each has a text that says what is expected. */
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { normalAuthority } from '../names.ts';
import { patternProblem } from '../routing.ts';
import { templateProblem } from '../templates.ts';

export function count({ least, most = 1_000_000_000 }: { readonly least: number; readonly most?: number }) {
  const error = `a whole number from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
}

export const port = count({ least: 0, most: 65_535 });

/** A text that is not empty. */
export const text = z.string().min(1, { error: 'a text that is not empty' });

/** The name of an origin or a feed, which appears in header fields, metrics and URLs. */
export const identifier = worded(
  /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  'a name of letters, digits, dots, hyphens and underscores',
);

/** A field name: a token (RFC 9110 §5.6.2), converted to lower case, in which field names are compared. */
export const headerName = worded(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'the name of a header field').transform(
  (name) => name.toLowerCase(),
);

/** A cookie name: a token (RFC 6265 §4.1.1), with its case kept. */
export const cookieName = worded(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'the name of a cookie');

/** A field value (RFC 9110 §5.5) in ASCII. */
export const headerValue = worded(/^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/, "a header field's value");

/** A method in upper case, as all registered methods are. */
export const method = worded(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'a method such as GET').transform((name) =>
  name.toUpperCase(),
);

/** An authority (RFC 9110 §7.2) in normal form. Without a port it matches every port. */
export const host = worded(
  /^(?:[A-Za-z0-9_\u0080-\uffff](?:[A-Za-z0-9._\u0080-\uffff-]*[A-Za-z0-9_\u0080-\uffff])?\.?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/,
  'a host such as shop.example or shop.example:8080',
).transform((name) => normalAuthority(name) ?? name.toLowerCase());

export const pathPattern = z.string().superRefine((pattern, context) => {
  const problem = patternProblem(pattern);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

export const absolutePath = worded(/^\/[\x21-\x7e]*$/, 'a path that begins with /, percent-encoded');

/** A tag, which may contain `{name}`. */
export const tagTemplate = text.superRefine((template, context) => {
  const problem = templateProblem(template);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

/** A path, which applies to every host, or an absolute URL. It may begin with a `{name}`. */
export const urlTemplate = tagTemplate.refine((template) => /^(?:\/|https?:\/\/|\{)/.test(template), {
  error: 'a path that begins with /, or an http(s) URL',
});

export const addressBlock = z.string().refine((block) => ipaddr.isValidCIDR(block) || ipaddr.isValid(block), {
  error: 'a CIDR block such as 10.0.0.0/8, or an address',
});

/** `demo:`, or scheme, host and port of an http(s) URL. */
export const originUrl = z
  .string({ error: 'an http(s) URL or demo:' })
  .superRefine((url, context) => {
    const problem = originUrlProblem(url);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  })
  .transform((url) => (url === DEMO_URL ? url : new URL(url).origin));

export const DEMO_URL = 'demo:';

function worded(pattern: RegExp, expected: string) {
  return z.string({ error: expected }).regex(pattern, { error: expected });
}

function originUrlProblem(written: string): string | null {
  if (written === DEMO_URL) return null;
  const url = URL.parse(written);
  if (url === null || !/^https?:\/\//i.test(written)) return 'an http(s) URL or demo:';
  if (url.username !== '' || url.password !== '') return 'an origin URL without credentials';
  if (url.search !== '' || url.hash !== '') return 'an origin URL without query or fragment';
  if (url.pathname !== '/') return 'an origin URL without a path (requests keep their own)';
  return null;
}
