/**
 * RFC 9112 §7.1: the chunked coding of a request's content, with extensions (checked, then dropped) and trailers. Refused:
 * white space in a chunk's first line, sizes beyond 16 digits, line ends other than CR LF, empty extensions, and trailers that
 * would frame the message or end the connection.
 */
import { CR, LF, QUOTED, FIELD_VALUE, TOKEN } from './characters.ts';
import { FieldSection, type SectionLimits } from './field-section.ts';
import { malformed, type MessageFault } from './message-fault.ts';

/** Extensions of one message, in bytes. */
const EXTENSION_BYTES = 16 * 1024;
/** Below 2^53 with 13; up to 16 a size is a number that is only compared with a limit. */
const SIZE_DIGITS = 16;

const SIZE = 0;
const EXTENSION_START = 1;
const EXTENSION_NAME = 2;
const EXTENSION_VALUE_START = 3;
const EXTENSION_VALUE = 4;
const EXTENSION_QUOTED = 5;
const EXTENSION_ESCAPE = 6;
const EXTENSION_END = 7;
const SIZE_LINE_FEED = 8;
const DATA = 9;
const DATA_RETURN = 10;
const DATA_LINE_FEED = 11;
const TRAILERS = 12;

const SEMICOLON = 0x3b;
const EQUALS = 0x3d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** 255: not a hexadecimal digit. */
const HEX = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = '0123456789abcdef'.indexOf(String.fromCodePoint(byte).toLowerCase());
  return byte < 0x80 && digit !== -1 ? digit : 255;
});

export class ChunkedDecoder {
  fault: MessageFault | null = null;
  done = false;
  /** After `decode`: where in the chunk the content lies that it has brought. */
  contentFrom = 0;
  contentTo = 0;
  private readonly section: FieldSection;
  private state = SIZE;
  private digits = 0;
  private size = 0;
  private extensionBytes = 0;

  constructor(limits: SectionLimits) {
    this.section = new FieldSection(limits);
  }

  /** Those that were sent, once the content is whole. */
  get trailers(): readonly string[] {
    return this.section.fields;
  }

  /** The rest of the chunk that is being read, as its size announced it. */
  get announcedBytes(): number {
    return this.state === DATA || this.state === SIZE_LINE_FEED ? this.size : 0;
  }

  /**
   * Reads on at `from`; returns the index behind what was read. The content is moved together within the chunk, so that it
   * is one piece from `contentFrom` to `contentTo`. Ends with `done`, with `fault`, or at the chunk's end.
   */
  decode(chunk: Buffer, from: number): number {
    const end = chunk.length;
    let at = from;
    let to = from;
    this.contentFrom = from;
    this.contentTo = from;
    while (at < end) {
      if (this.state === DATA) {
        const bytes = Math.min(this.size, end - at);
        if (to !== at) chunk.copyWithin(to, at, at + bytes);
        to += bytes;
        at += bytes;
        this.contentTo = to;
        this.size -= bytes;
        if (this.size === 0) this.state = DATA_RETURN;
      } else if (this.state === TRAILERS) {
        return this.readTrailers(chunk, at);
      } else {
        const fault = this.step(chunk[at]!);
        if (fault !== null) return this.fail(at, fault);
        at += 1;
      }
    }
    return at;
  }

  private step(byte: number): MessageFault | null {
    switch (this.state) {
      case SIZE:
        return this.stepSize(byte);
      case SIZE_LINE_FEED:
        if (byte !== LF) return LINE_END;
        this.state = this.size === 0 ? TRAILERS : DATA;
        this.digits = 0;
        return null;
      case DATA_RETURN:
        if (byte !== CR) return DATA_END;
        this.state = DATA_LINE_FEED;
        return null;
      case DATA_LINE_FEED:
        if (byte !== LF) return DATA_END;
        this.state = SIZE;
        return null;
      default:
        this.extensionBytes += 1;
        if (this.extensionBytes > EXTENSION_BYTES) return TOO_MANY_EXTENSIONS;
        return this.stepExtension(byte);
    }
  }

  private stepSize(byte: number): MessageFault | null {
    const digit = HEX[byte]!;
    if (digit !== 255) {
      this.size = this.digits === 0 ? digit : this.size * 16 + digit;
      this.digits += 1;
      return this.digits > SIZE_DIGITS ? BAD_SIZE : null;
    }
    if (this.digits === 0) return BAD_SIZE;
    if (byte === CR) this.state = SIZE_LINE_FEED;
    else if (byte === SEMICOLON) this.state = EXTENSION_START;
    else return BAD_SIZE;
    return null;
  }

  /** RFC 9112 §7.1.1, without the white space that its grammar calls bad. */
  private stepExtension(byte: number): MessageFault | null {
    switch (this.state) {
      case EXTENSION_START:
        if (TOKEN[byte] === 0) return BAD_EXTENSION;
        this.state = EXTENSION_NAME;
        return null;
      case EXTENSION_NAME:
        if (TOKEN[byte] === 1) return null;
        if (byte !== EQUALS) return this.endExtension(byte);
        this.state = EXTENSION_VALUE_START;
        return null;
      case EXTENSION_VALUE_START:
        if (byte === QUOTE) this.state = EXTENSION_QUOTED;
        else if (TOKEN[byte] === 1) this.state = EXTENSION_VALUE;
        else return BAD_EXTENSION;
        return null;
      case EXTENSION_VALUE:
        return TOKEN[byte] === 1 ? null : this.endExtension(byte);
      case EXTENSION_QUOTED:
        if (byte === QUOTE) this.state = EXTENSION_END;
        else if (byte === BACKSLASH) this.state = EXTENSION_ESCAPE;
        else if (QUOTED[byte] === 0) return BAD_EXTENSION;
        return null;
      case EXTENSION_ESCAPE:
        if (FIELD_VALUE[byte] === 0) return BAD_EXTENSION;
        this.state = EXTENSION_QUOTED;
        return null;
      default:
        return this.endExtension(byte);
    }
  }

  private endExtension(byte: number): MessageFault | null {
    if (byte === SEMICOLON) this.state = EXTENSION_START;
    else if (byte === CR) this.state = SIZE_LINE_FEED;
    else return BAD_EXTENSION;
    return null;
  }

  private readTrailers(chunk: Buffer, from: number): number {
    const { section } = this;
    const at = section.read(chunk, from);
    if (section.fault !== null) return this.fail(at, section.fault);
    if (!section.done) return at;
    for (let i = 0; i < section.fields.length; i += 2) {
      if (REFUSED_TRAILERS.has(section.fields[i]!.toLowerCase())) return this.fail(at, BAD_TRAILER);
    }
    this.done = true;
    return at;
  }

  private fail(at: number, fault: MessageFault): number {
    this.fault = fault;
    return at;
  }
}

/** RFC 9110 §6.5.1: read as fields of the head they would change where the message or the connection ends. */
const REFUSED_TRAILERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'proxy-connection',
  'transfer-encoding',
]);

const BAD_SIZE = malformed('A chunk size is not a plain hexadecimal number.');
const BAD_EXTENSION = malformed('A chunk extension is malformed.');
const LINE_END = malformed('A CR is not followed by LF.');
const DATA_END = malformed('A chunk is not as long as its size says.');
const BAD_TRAILER = malformed('A trailer would change how the message is framed.');
const TOO_MANY_EXTENSIONS: MessageFault = { code: 'chunk-extensions-too-large', values: {} };
