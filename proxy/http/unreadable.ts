/**
 * What is answered to bytes that Node's parser did not take for a request, or that did not come in time.
 */
import type { ListenLimits } from '../../policies/config/config.ts';
import { refusal } from './problem.ts';
import type { Problem } from './problem.ts';
import { fieldsTooLarge, malformedRequest, targetTooLong } from './request-head.ts';

interface ParserError extends NodeJS.ErrnoException {
  readonly reason?: string;
  /** The last bytes that were read. */
  readonly rawPacket?: Buffer;
}

/** Node's code for a request that was not read within its time. */
export const TIMED_OUT = 'ERR_HTTP_REQUEST_TIMEOUT';

export function refusalOf(error: ParserError, limits: ListenLimits): Problem {
  switch (error.code) {
    case TIMED_OUT:
      return refusal(
        408,
        'Request timeout',
        `The request was not complete after ${limits.totalMs ?? limits.requestMs} ms.`,
      );
    case 'HPE_HEADER_OVERFLOW':
      return beginsWithLongTarget(error.rawPacket, limits.urlBytes)
        ? refusal(414, 'URI too long', targetTooLong(limits))
        : refusal(431, 'Request header fields too large', fieldsTooLarge(limits));
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return refusal(413, 'Content too large', 'The chunk extensions are too large.');
    case 'HPE_INVALID_METHOD':
      return beginsWithMethod(error.rawPacket)
        ? refusal(501, 'Not implemented', 'The method is not known here.')
        : malformedRequest('The request line is malformed.');
    case 'HPE_INVALID_VERSION':
      return error.reason === 'Invalid HTTP version'
        ? refusal(505, 'HTTP version not supported', 'This server speaks HTTP/1.0 and HTTP/1.1.')
        : malformedRequest('The request line is malformed.');
    default:
      return malformedRequest(error.reason ?? 'The message does not follow RFC 9112.');
  }
}

/** These bytes begin with a request line longer than any target taken: RFC 9110 §15.5.15 rather than RFC 6585 §5. */
function beginsWithLongTarget(packet: Buffer | undefined, urlBytes: number): boolean {
  if (packet === undefined || !/^[A-Z-]{1,32} \S/.test(packet.subarray(0, 64).toString('latin1')))
    return false;
  const lineEnd = packet.indexOf('\r\n');
  return lineEnd === -1 || lineEnd > urlBytes + 64;
}

/** RFC 9110 §9.1: a method of the right form that is not recognised is 501, not malformed. */
function beginsWithMethod(packet: Buffer | undefined): boolean {
  const start = packet?.subarray(0, 512).toString('latin1') ?? '';
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64} (?:\/|\*|https?:)[^\r\n]* HTTP\/1\.[01]\r\n/.test(start);
}
