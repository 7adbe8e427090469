/**
 * RFC 9112 §5: the field lines of a head or of trailers, up to and including the empty line. Bytes are looked at once,
 * however they are cut into segments. Refused: bare CR and LF, white space around names, folded lines, control characters.
 */
import { CR, FIELD_VALUE, HTAB, LF, ODD_IN_NAMES, SPACE, TOKEN } from './characters.ts';
import { HeldBytes } from './held-bytes.ts';
import { malformed, tooLarge, type MessageFault } from './message-fault.ts';

export interface SectionLimits {
  /** Of all lines with their ends and white space. */
  readonly headersBytes: number;
  readonly headerCount: number;
}

const LINE_START = 0;
const NAME = 1;
const VALUE_START = 2;
const VALUE = 3;
const LINE_FEED = 4;
const LAST_LINE_FEED = 5;

const COLON = 0x3a;

const CODING_NAME = 'transfer-encoding';

export class FieldSection {
  /** Names and values in turn. Each is a string of its own, which keeps no other bytes in memory. */
  fields: string[] = [];
  /** A name has other characters than letters, digits and hyphens. */
  hasOddNames = false;
  done = false;
  fault: MessageFault | null = null;
  private readonly limits: SectionLimits;
  private readonly held = new HeldBytes();
  private state = LINE_START;
  private name = '';
  private bytes = 0;

  constructor(limits: SectionLimits) {
    this.limits = limits;
  }

  /** For the next section. */
  reset(): void {
    this.fields = [];
    this.hasOddNames = false;
    this.done = false;
    this.state = LINE_START;
    this.bytes = 0;
  }

  /** Reads on at `from`; returns the index behind what was read. Ends with `done`, with `fault`, or at the chunk's end. */
  read(chunk: Buffer, from: number): number {
    const end = chunk.length;
    let at = from;
    let start = from;
    let { state } = this;
    let odd = 0;
    while (at < end) {
      const byte = chunk[at]!;
      switch (state) {
        case LINE_START:
          if (byte === CR) {
            state = LAST_LINE_FEED;
            at += 1;
            break;
          }
          if (TOKEN[byte] === 0) return this.fail(at, startFault(byte));
          odd |= ODD_IN_NAMES[byte]!;
          start = at;
          at += 1;
          state = NAME;
          break;
        case NAME:
          for (; at < end && TOKEN[chunk[at]!] === 1; at += 1) odd |= ODD_IN_NAMES[chunk[at]!]!;
          if (at === end) break;
          if (chunk[at] !== COLON) return this.fail(at, nameFault(chunk[at]!));
          this.name = this.held.take(chunk, start, at);
          at += 1;
          state = VALUE_START;
          break;
        case VALUE_START:
          while (at < end && (chunk[at] === SPACE || chunk[at] === HTAB)) at += 1;
          start = at;
          if (at < end) state = VALUE;
          break;
        case VALUE:
          while (at < end && FIELD_VALUE[chunk[at]!] === 1) at += 1;
          if (at === end) break;
          if (chunk[at] !== CR) return this.fail(at, valueFault(chunk[at]!));
          if (!this.add(this.held.take(chunk, start, at))) return this.fail(at, TAB_AFTER_CODING);
          at += 1;
          state = LINE_FEED;
          break;
        case LINE_FEED:
          if (byte !== LF) return this.fail(at, BARE_CR);
          at += 1;
          if (this.fields.length > 2 * this.limits.headerCount) {
            return this.fail(at, tooLarge('too-many-fields', this.limits.headerCount));
          }
          state = LINE_START;
          break;
        default:
          if (byte !== LF) return this.fail(at, BARE_CR);
          at += 1;
          this.bytes += at - from;
          if (this.isTooLarge(2)) return this.fail(at, this.sizeFault());
          if (odd !== 0) this.hasOddNames = true;
          this.done = true;
          return at;
      }
    }
    this.state = state;
    if (odd !== 0) this.hasOddNames = true;
    this.bytes += at - from;
    if (this.isTooLarge(state === LAST_LINE_FEED ? 1 : 0)) return this.fail(at, this.sizeFault());
    if (state === NAME || state === VALUE) this.held.add(chunk, start, at);
    return at;
  }

  /** False: recipients differ in where the value ends. */
  private add(value: string): boolean {
    const trimmed = trimmedEnd(value);
    this.fields.push(this.name, trimmed);
    // Some parsers, llhttp among them, leave out spaces alone after a coding: for them it is another one than `chunked`.
    const mayDiffer = trimmed.length < value.length && this.name.length === CODING_NAME.length;
    return !mayDiffer || this.name.toLowerCase() !== CODING_NAME || !value.includes('\t', trimmed.length);
  }

  /** `besides`: how many bytes of the empty line have been counted. */
  private isTooLarge(besides: number): boolean {
    return this.bytes - besides > this.limits.headersBytes;
  }

  private sizeFault(): MessageFault {
    return tooLarge('fields-too-large', this.limits.headersBytes);
  }

  private fail(at: number, fault: MessageFault): number {
    this.fault = fault;
    return at;
  }
}

/** RFC 9110 §5.5: white space at the end is no part of a value. */
function trimmedEnd(value: string): string {
  let to = value.length;
  while (to > 0 && (value.charCodeAt(to - 1) === SPACE || value.charCodeAt(to - 1) === HTAB)) to -= 1;
  return to === value.length ? value : value.slice(0, to);
}

const BARE_CR = malformed('A CR is not followed by LF.');
const BARE_LF = malformed('A line ends with LF alone.');
const FOLDED = malformed('A field line begins with white space.');
const SPACE_IN_NAME = malformed('White space stands in or after a field name.');
const NO_NAME = malformed('A field line has no name.');
const NAME_CHARACTER = malformed('A field name has a character that is not allowed.');
const TAB_AFTER_CODING = malformed('A tab follows the value of Transfer-Encoding.');
const VALUE_CHARACTER = malformed('A field value has a control character.');

function startFault(byte: number): MessageFault {
  if (byte === SPACE || byte === HTAB) return FOLDED;
  if (byte === COLON) return NO_NAME;
  return byte === LF ? BARE_LF : NAME_CHARACTER;
}

function nameFault(byte: number): MessageFault {
  if (byte === SPACE || byte === HTAB) return SPACE_IN_NAME;
  return byte === LF ? BARE_LF : NAME_CHARACTER;
}

function valueFault(byte: number): MessageFault {
  return byte === LF ? BARE_LF : VALUE_CHARACTER;
}
