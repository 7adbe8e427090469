/** RFC 9110 §7.8: the protocols that Weir offers to the origin for a client, and the 101 that the client may receive. */
import { listMembers, type Fields } from './fields.ts';

/**
 * The protocols of a request's Upgrade that are offered to the origin, in order; null where none remains or the field
 * is malformed. Other versions of HTTP and TLS are removed: after such a switch requests would pass uninspected.
 */
export function decideUpgrade(fields: Fields): readonly string[] | null {
  const members = listMembers(fields, 'upgrade');
  if (!members.every((member) => PROTOCOL.test(member))) return null;
  const offered = members
    .filter((member) => !NEVER_OFFERED.test(member))
    .map((member) => member.toLowerCase());
  return offered.length === 0 ? null : [...new Set(offered)];
}

/** Whether a 101 switches to an offered protocol and to no other. */
export function isSwitchOffered(offered: readonly string[], answer: Fields): boolean {
  const members = listMembers(answer, 'upgrade');
  return members.length > 0 && members.every((member) => offered.includes(member.toLowerCase()));
}

/** RFC 9110 §7.8: a name and an optional version. */
const PROTOCOL = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)?$/;
const NEVER_OFFERED = /^(?:h[23]|http|quic|spdy|ssl|tls)/i;
