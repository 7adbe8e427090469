/** The response to bytes that Node's parser did not accept as a request, or that did not arrive in time. */
import type { ListenLimits } from '../../policies/config/config.ts';
import { listenerError } from './error-responses.ts';
import type { Problem } from './problem.ts';

interface ParserError extends NodeJS.ErrnoException {
  readonly reason?: string;
  /** The last bytes that were read. */
  readonly rawPacket?: Buffer;
}

/** Node's code for a request that did not arrive in time. */
export const TIMED_OUT = 'ERR_HTTP_REQUEST_TIMEOUT';

export function errorOfParser(error: ParserError, limits: ListenLimits): Problem {
  switch (error.code) {
    case TIMED_OUT:
      return listenerError('head-timeout', { limit: limits.totalMs ?? limits.requestMs });
    case 'HPE_HEADER_OVERFLOW':
      return beginsWithLongTarget(error.rawPacket, limits.urlBytes)
        ? listenerError('target-too-long', { limit: limits.urlBytes })
        : listenerError('fields-too-large', { limit: limits.headersBytes });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return listenerError('chunk-extensions-too-large');
    case 'HPE_INVALID_METHOD':
      return beginsWithMethod(error.rawPacket)
        ? listenerError('unknown-method')
        : malformed('The request line is malformed.');
    case 'HPE_INVALID_VERSION':
      return error.reason === 'Invalid HTTP version'
        ? listenerError('unknown-version')
        : malformed('The request line is malformed.');
    default:
      return malformed(error.reason ?? 'The message does not follow RFC 9112.');
  }
}

function malformed(fault: string): Problem {
  return listenerError('malformed-request', { fault });
}

/** Whether the request line is longer than any accepted target: 414 (RFC 9110 §15.5.15) rather than 431 (RFC 6585 §5). */
function beginsWithLongTarget(packet: Buffer | undefined, urlBytes: number): boolean {
  if (packet === undefined || !/^[A-Z-]{1,32} \S/.test(packet.subarray(0, 64).toString('latin1')))
    return false;
  const lineEnd = packet.indexOf('\r\n');
  return lineEnd === -1 || lineEnd > urlBytes + 64;
}

/** RFC 9110 §9.1: an unknown method of valid form is answered with 501, not with 400. */
function beginsWithMethod(packet: Buffer | undefined): boolean {
  const start = packet?.subarray(0, 512).toString('latin1') ?? '';
  return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64} (?:\/|\*|https?:)[^\r\n]* HTTP\/1\.[01]\r\n/.test(start);
}
