import type { Duplex } from 'node:stream';
import type { Fields } from '../../policies/http/fields.ts';
import type { OriginHandler } from '../origin.ts';

/** The handler of a call, including a switch of protocols. */
export interface CallHandler extends OriginHandler {
  /** Called only if a switch of protocols was requested; absent: a switch is rejected. */
  onSwitched?(fields: Fields, socket: Duplex): void;
}
