import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const SASL_HANDSHAKE = 17;
const API_VERSIONS = 18;
const SASL_AUTHENTICATE = 36;

/** Error codes of Kafka. */
export type Refusal = 33 | 58;

/**
 * A broker that rejects every client: it asks for credentials, answers with Kafka's error code, and resets
 * the connection.
 */
export class KafkaGatekeeper {
  /** The credentials that clients sent. */
  readonly credentials: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #refusal: Refusal;

  private constructor(refusal: Refusal) {
    this.#refusal = refusal;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(refusal: Refusal): Promise<KafkaGatekeeper> {
    const gatekeeper = new KafkaGatekeeper(refusal);
    gatekeeper.#server.listen(0, '127.0.0.1');
    await once(gatekeeper.#server, 'listening');
    return gatekeeper;
  }

  get broker(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    let held = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
        const length = held.readInt32BE(0);
        this.#answer(socket, held.subarray(4, 4 + length));
        held = held.subarray(4 + length);
      }
    });
  }

  /** Header v1: api, version, correlation id, client id. */
  #answer(socket: Socket, request: Buffer): void {
    const correlation = request.subarray(4, 8);
    switch (request.readInt16BE(0)) {
      case API_VERSIONS:
        send(socket, correlation, [
          int16(0),
          int32(1),
          int16(SASL_AUTHENTICATE),
          int16(0),
          int16(0),
          int32(0),
        ]);
        return;
      case SASL_HANDSHAKE:
        send(socket, correlation, [int16(this.#refusal === 33 ? 33 : 0), int32(1), text('SCRAM-SHA-256')]);
        return;
      case SASL_AUTHENTICATE:
        this.credentials.push(request.subarray(10 + request.readInt16BE(8) + 4).toString('utf8'));
        send(socket, correlation, [int16(this.#refusal), text('no'), int32(0)]);
        socket.resetAndDestroy();
        return;
      default:
        socket.destroy();
    }
  }
}

function send(socket: Socket, correlation: Buffer, parts: readonly Buffer[]): void {
  const body = Buffer.concat([correlation, ...parts]);
  socket.write(Buffer.concat([int32(body.length), body]));
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeInt16BE(value);
  return buffer;
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function text(value: string): Buffer {
  return Buffer.concat([int16(value.length), Buffer.from(value)]);
}
