import { CREDENTIALS } from '../../../policies/http/fields.ts';
import { VIA } from '../../../policies/http/forwarding.ts';
import type { AccessRecords } from '../access-records.ts';
import type { RequestContext } from '../context.ts';

/** OPTIONS for the server as a whole, and OPTIONS or TRACE with Max-Forwards: 0 (RFC 9110 §7.6.2, §9.3.7, §9.3.8). */
export function respondAsFinalRecipient(context: RequestContext, accessRecords: AccessRecords): void {
  const { exchange } = context;
  if (exchange.method === 'TRACE') {
    const lines = [`TRACE ${exchange.target} HTTP/${exchange.version}`];
    const { fields } = exchange;
    for (let i = 0; i < fields.length; i += 2) {
      if (!NOT_REFLECTED.has(fields[i]!.toLowerCase())) lines.push(`${fields[i]}: ${fields[i + 1]}`);
    }
    const content = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
    exchange.respond(200, ['Content-Type', 'message/http', 'Via', VIA], content);
    accessRecords.whenEnded(context, 'answered', 'max-forwards', 200);
    return;
  }
  exchange.respond(204, ['Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS', 'Via', VIA], null);
  accessRecords.whenEnded(context, 'answered', exchange.target === '*' ? 'options' : 'max-forwards', 204);
}

/** RFC 9110 §9.3.8: what a TRACE must not reflect. */
const NOT_REFLECTED: ReadonlySet<string> = new Set([...CREDENTIALS, 'proxy-authorization']);
