/**
 * Reads bytes with Node's own parser (llhttp, in strict mode): an oracle of what is accepted, not of what is
 * right.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';
import { readRequestHead } from '../../proxy/http/request-head.ts';
import { WIDE_LIMITS, type ReadMessage } from './codec.ts';

export interface OracleReading {
  readonly messages: readonly ReadMessage[];
  /** Null if it did not reject the following bytes. */
  readonly refusal: string | null;
  /**
   * The last message requests an upgrade. After it Node.js drops the bytes that it has, also where it does
   * not upgrade.
   */
  readonly endsWithUpgrade: boolean;
}

/** The following bytes are ignored, not rejected: the message before them ends the connection. */
const AFTER_THE_LAST = 'HPE_CLOSED_CONNECTION';

export class LlhttpOracle {
  private readonly server = createServer({
    httpValidation: 'strict',
    requireHostHeader: false,
    maxHeaderSize: 130_000,
    shouldUpgradeCallback: () => false,
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
  });

  constructor() {
    const { server } = this;
    server.maxHeadersCount = 0;
    const onRequest = (request: IncomingMessage, response: ServerResponse) => {
      of(request.socket).received(request);
      response.end();
    };
    server.on('request', onRequest);
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('connect', (_, socket) => of(socket).refused('connect'));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => of(socket).refused(error.code ?? ''));
  }

  /** Reads each list of pieces as a separate connection. */
  async read(connections: readonly (readonly Buffer[])[]): Promise<OracleReading[]> {
    const opened = connections.map((pieces) => {
      const connection = new OracleConnection();
      this.server.emit('connection', connection);
      for (const piece of pieces) connection.push(Buffer.from(piece));
      return connection;
    });
    // Everything is in memory; only the streams' own work takes turns of the event loop.
    let quiet = 0;
    while (quiet < 3) {
      await new Promise(setImmediate);
      quiet = opened.some((connection) => connection.hasNews()) ? 0 : quiet + 1;
    }
    for (const connection of opened) connection.destroy();
    return opened.map((connection) => connection.reading());
  }
}

function of(socket: Duplex): OracleConnection {
  if (!(socket instanceof OracleConnection)) throw new Error('not a connection of the oracle');
  return socket;
}

class OracleConnection extends Duplex {
  private readonly requests: IncomingMessage[] = [];
  private readonly contents: string[] = [];
  private refusal: string | null = null;
  private isNews = false;
  private lengthThen = -1;

  constructor() {
    super({ highWaterMark: 1_000_000 });
    this.on('error', () => {});
  }

  received(request: IncomingMessage): void {
    const at = this.requests.push(request) - 1;
    this.contents.push('');
    this.isNews = true;
    request.on('data', (chunk: Buffer) => {
      this.isNews = true;
      this.contents[at] += chunk.toString('latin1');
    });
    request.on('end', () => (this.isNews = true));
    request.on('error', () => {});
  }

  refused(code: string): void {
    this.refusal ??= code;
  }

  /** Whether something has happened since the last call. */
  hasNews(): boolean {
    const { isNews, readableLength, lengthThen } = this;
    this.isNews = false;
    this.lengthThen = readableLength;
    return isNews || readableLength !== lengthThen;
  }

  reading(): OracleReading {
    const messages: ReadMessage[] = [];
    for (const [at, request] of this.requests.entries()) {
      const { method = '', url: target = '', rawHeaders: fields, httpVersion: version } = request;
      const minor = version === '1.0' ? 0 : 1;
      const head = readRequestHead({ method, target, minor, fields, hasOddNames: true }, 'http', {
        limits: WIDE_LIMITS,
        underscores: 'keep',
      });
      // The checks after the parser reject the same after either parser.
      if (head.kind === 'refused')
        return { messages, refusal: 'a check after the parser', endsWithUpgrade: false };
      if (!request.complete) break;
      messages.push({
        method,
        target,
        version,
        fields,
        content: this.contents[at]!,
        trailers: request.rawTrailers,
      });
      const { upgrade, connection } = request.headers;
      if (upgrade !== undefined && connection?.toLowerCase().includes('upgrade') === true) {
        return { messages, refusal: null, endsWithUpgrade: true };
      }
    }
    const refusal = this.refusal === AFTER_THE_LAST ? null : this.refusal;
    return { messages, refusal, endsWithUpgrade: false };
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }
}
