import type { Duplex } from 'node:stream';
import type { Fields } from '../../policies/http/fields.ts';
import type { OriginHandler } from '../origin.ts';

/** What a call to the origin reports, a protocol switch among it. */
export interface CallHandler extends OriginHandler {
  /** Only where a protocol switch was asked for. */
  onSwitched(fields: Fields, socket: Duplex): void;
}
