import { fieldValue } from '../../../policies/http/fields.ts';
import type { AccessRecords } from '../access-records.ts';
import type { RoutedContext } from '../context.ts';
import { asStream, readBody } from '../read-body.ts';
import type { SentInstead } from './write-through.ts';

/**
 * Reads content of at most `readWholeBytes` whole before anything is held or sent. A client that leaves while it sends
 * has then caused nothing, and one that leaves later does not make the outcome unknown. `next` is called with what is to
 * be sent, unless the client has left.
 */
export function readSmallContent(
  context: RoutedContext,
  accessRecords: AccessRecords,
  next: (sent: SentInstead) => void,
): void {
  const { exchange, route } = context;
  const { readWholeBytes, policy } = route.config.write;
  const declared = Number(fieldValue(exchange.fields, 'content-length') ?? 0);
  if (exchange.body === null || readWholeBytes === 0 || declared > readWholeBytes) {
    next({});
    return;
  }
  void readBody(exchange.body, readWholeBytes, () => true).then((read) => {
    switch (read.kind) {
      case 'whole':
        next({ body: asStream(read.body), isWhole: true });
        return;
      case 'too-large':
      case 'no-room':
        next({ body: read.whole });
        return;
      case 'cut':
        accessRecords.whenEnded(context, 'write', policy, 0);
        return;
      default:
        read satisfies never;
    }
  });
}
