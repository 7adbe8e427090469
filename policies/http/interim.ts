/** RFC 9110 §15.2: interim responses other than 100 and 101, such as 103 Early Hints (RFC 8297). */
import { COOKIES, withoutFields, type Fields } from './fields.ts';
import { endToEnd } from './hop-by-hop.ts';

/**
 * The fields of an interim response for the client whose request it answers. Cookies are removed: they would be set
 * before the origin has decided on its final response.
 */
export function interimFields(fields: Fields): string[] {
  return withoutFields(endToEnd(fields), COOKIES);
}
