/**
 * RFC 9112 §3, §5: reads the heads of requests, one after the other. Bytes are looked at once, however they are cut into
 * segments, and a head is refused as soon as it breaks the grammar or a limit. What is within the grammar but ambiguous is
 * refused by `readRequestHead`.
 */
import { CR, LF, SPACE, TARGET, TOKEN } from './characters.ts';
import { FieldSection, type SectionLimits } from './field-section.ts';
import { HeldBytes } from './held-bytes.ts';
import { malformed, tooLarge, type MessageFault } from './message-fault.ts';
import { METHODS, METHOD_LENGTH } from './methods.ts';

export interface HeadLimits extends SectionLimits {
  readonly urlBytes: number;
}

/** A head within the grammar. */
export interface ParsedHead {
  readonly method: string;
  /** As received: neither decoded nor checked for its form. */
  readonly target: string;
  /** Of HTTP/1. */
  readonly minor: 0 | 1;
  /** Names and values in turn, as received; values without the white space around them. */
  readonly fields: string[];
  /** A name has other characters than letters, digits and hyphens. */
  readonly hasOddNames: boolean;
}

const START = 0;
const START_LINE_FEED = 1;
const METHOD = 2;
const TARGET_START = 3;
const IN_TARGET = 4;
const VERSION = 5;
const FIELDS = 6;

/** The end of the request line; any digits may stand where these are. */
const VERSION_FORM = Buffer.from('HTTP/1.1\r\n', 'latin1');
const MAJOR_AT = 5;
const MINOR_AT = 7;

export class HeadParser {
  fault: MessageFault | null = null;
  /** The last head that was read to its end. */
  head: ParsedHead | null = null;
  private readonly limits: HeadLimits;
  private readonly section: FieldSection;
  private readonly held = new HeldBytes();
  private state = START;
  private method = '';
  private target = '';
  private versionAt = 0;
  private major = 0;
  private minor = 0;
  private skippedEmptyLine = false;

  constructor(limits: HeadLimits) {
    this.limits = limits;
    this.section = new FieldSection(limits);
  }

  /** Whether bytes of a head have been read whose end has not. */
  get isWithinHead(): boolean {
    return this.state !== START;
  }

  /** Reads on at `from`; returns the index behind what was read. Ends with `head`, with `fault`, or at the chunk's end. */
  read(chunk: Buffer, from: number): number {
    const end = chunk.length;
    let at = from;
    let start = from;
    this.head = null;
    while (at < end && this.state !== FIELDS) {
      const byte = chunk[at]!;
      switch (this.state) {
        case START:
          // RFC 9112 §2.2: one empty line before a request is ignored.
          if (byte === CR && !this.skippedEmptyLine) {
            this.state = START_LINE_FEED;
            at += 1;
            break;
          }
          if (TOKEN[byte] === 0) return this.fail(at, REQUEST_LINE);
          start = at;
          at += 1;
          this.state = METHOD;
          break;
        case START_LINE_FEED:
          if (byte !== LF) return this.fail(at, REQUEST_LINE);
          this.skippedEmptyLine = true;
          at += 1;
          this.state = START;
          break;
        case METHOD: {
          const most = Math.min(end, start + METHOD_LENGTH + 1 - this.held.length);
          while (at < most && TOKEN[chunk[at]!] === 1) at += 1;
          if (at - start + this.held.length > METHOD_LENGTH) return this.fail(at, REQUEST_LINE);
          if (at === end) break;
          if (chunk[at] !== SPACE) return this.fail(at, REQUEST_LINE);
          this.method = this.takeMethod(chunk, start, at);
          at += 1;
          this.state = TARGET_START;
          break;
        }
        case TARGET_START:
          if (TARGET[byte] === 0) return this.fail(at, TARGET_CHARACTER);
          start = at;
          at += 1;
          this.state = IN_TARGET;
          break;
        case IN_TARGET:
          while (at < end && TARGET[chunk[at]!] === 1) at += 1;
          if (at - start + this.held.length > this.limits.urlBytes) {
            return this.fail(at, tooLarge('target-too-long', this.limits.urlBytes));
          }
          if (at === end) break;
          if (chunk[at] !== SPACE) return this.fail(at, TARGET_CHARACTER);
          this.target = this.held.take(chunk, start, at);
          at += 1;
          this.versionAt = 0;
          this.state = VERSION;
          break;
        default:
          at = this.readVersion(chunk, at);
          if (this.fault !== null) return at;
          break;
      }
    }
    if (this.state === FIELDS) return this.readFields(chunk, at);
    if (this.state === METHOD || this.state === IN_TARGET) this.held.add(chunk, start, at);
    return at;
  }

  private takeMethod(chunk: Buffer, start: number, at: number): string {
    if (at - start === 3 && this.held.length === 0 && isGet(chunk, start)) return 'GET';
    return this.held.take(chunk, start, at);
  }

  private readVersion(chunk: Buffer, from: number): number {
    let at = from;
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at]!;
      if (this.versionAt === MAJOR_AT || this.versionAt === MINOR_AT) {
        if (byte < 0x30 || byte > 0x39) return this.fail(at, REQUEST_LINE);
        if (this.versionAt === MAJOR_AT) this.major = byte - 0x30;
        else this.minor = byte - 0x30;
      } else if (byte !== VERSION_FORM[this.versionAt]) {
        return this.fail(at, REQUEST_LINE);
      }
      this.versionAt += 1;
      if (this.versionAt < VERSION_FORM.length) continue;
      at += 1;
      const fault = this.lineFault();
      if (fault !== null) return this.fail(at, fault);
      this.section.reset();
      this.state = FIELDS;
      return at;
    }
    return at;
  }

  /** Why a request line within the grammar is refused; null: it is not. */
  private lineFault(): MessageFault | null {
    // RFC 9113 §3.4: the preface of HTTP/2.
    if (this.method === 'PRI') return REQUEST_LINE;
    if (this.major === 0) return OLD_VERSION;
    if (this.major !== 1 || this.minor > 1) return { code: 'unknown-version', values: {} };
    return METHODS.has(this.method) ? null : { code: 'unknown-method', values: {} };
  }

  private readFields(chunk: Buffer, from: number): number {
    const { section } = this;
    const at = section.read(chunk, from);
    if (section.fault !== null) return this.fail(at, section.fault);
    if (section.done) {
      const minor = this.minor === 0 ? 0 : 1;
      const { fields, hasOddNames } = section;
      this.head = { method: this.method, target: this.target, minor, fields, hasOddNames };
      this.state = START;
      this.skippedEmptyLine = false;
    }
    return at;
  }

  private fail(at: number, fault: MessageFault): number {
    this.fault = fault;
    return at;
  }
}

function isGet(chunk: Buffer, start: number): boolean {
  return chunk[start] === 0x47 && chunk[start + 1] === 0x45 && chunk[start + 2] === 0x54;
}

const REQUEST_LINE = malformed('The request line is malformed.');
const TARGET_CHARACTER = malformed('The request target has a character that is not allowed.');
const OLD_VERSION = malformed('The request line names an HTTP version that is not supported.');
