/** Switches of protocol, RFC 9110 §7.8: which a client may ask the origin for, and which answer it may be given. */
import { listMembers, type Fields } from './fields.ts';

/**
 * Of the protocols that a request's Upgrade names, in order, those that the origin is asked for. Never another version of
 * HTTP or TLS: behind such a switch come requests that nobody looks at. Null: none is left, or the field is malformed.
 */
export function decideUpgrade(fields: Fields): readonly string[] | null {
  const members = listMembers(fields, 'upgrade');
  if (!members.every((member) => PROTOCOL.test(member))) return null;
  const offered = members
    .filter((member) => !NEVER_OFFERED.test(member))
    .map((member) => member.toLowerCase());
  return offered.length === 0 ? null : [...new Set(offered)];
}

/** Whether a 101 switches to what was asked for and to nothing else. */
export function isSwitchOffered(offered: readonly string[], answer: Fields): boolean {
  const members = listMembers(answer, 'upgrade');
  return members.length > 0 && members.every((member) => offered.includes(member.toLowerCase()));
}

/** RFC 9110 §7.8: a name, and perhaps a version. */
const PROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?$/;
const NEVER_OFFERED = /^(?:h[23]|http|quic|spdy|ssl|tls)/i;
