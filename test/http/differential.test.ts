import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectTls } from 'node:tls';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tlsCertificate, tlsKey, tlsName } from '../support/tls-identity.ts';
import { readMessages, WIDE_LIMITS } from './codec.ts';
import { compareCodecs, makeMessages, STRICTER } from './differential.ts';
import { randomOf } from './fuzzing.ts';
import { listen, statuses, type TestListener } from './harness.ts';
import { LlhttpOracle } from './llhttp.ts';

describe('our codec and llhttp in strict mode', () => {
  it('read 20,000 generated and mutated messages alike, or ours rejects them for a listed reason', async () => {
    const report = await compareCodecs(1, 20_000);
    expect(report.faults).toEqual([]);
    expect(report.accepted).toBeGreaterThan(5_000);
    expect(report.stricter).toBeGreaterThan(10);
  });

  it.each(STRICTER)('differ in this: $reason', async ({ example, refusal, form }) => {
    const bytes = [Buffer.from(example, 'latin1')];
    const [oracle] = await new LlhttpOracle().read([bytes]);
    expect(oracle!.refusal).toBeNull();
    expect(oracle!.messages.length).toBeGreaterThan(readMessages(bytes).messages.length);
    const ours = readMessages(bytes);
    expect(ours.refusal).toBe(refusal);
    expect(example.slice(0, ours.refusedAt + 1)).toMatch(form);
  });
});

describe('a listener reads what the codec reads', () => {
  it('when the bytes are cut everywhere', async () => {
    await using listener = await listenWide(null);
    await compareListener(listener, 60, () => connect(listener.port, '127.0.0.1'));
  });

  it('when the bytes are cut everywhere, over TLS', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'weir-tls-'));
    const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
    await writeFile(tls.certFile, tlsCertificate);
    await writeFile(tls.keyFile, tlsKey);
    await using listener = await listenWide(tls);
    const options = { host: '127.0.0.1', port: listener.port, servername: tlsName, ca: tlsCertificate };
    await compareListener(listener, 20, () => connectTls(options));
    await rm(folder, { recursive: true });
  });
});

const contents = new WeakMap<object, string>();

function listenWide(tls: { certFile: string; keyFile: string } | null): Promise<TestListener> {
  return listen({
    limits: WIDE_LIMITS,
    underscores: 'keep',
    tls,
    onExchange: (exchange) => {
      const respond = () => exchange.respond(200, ['X-Whole', 'yes'], null);
      if (exchange.body === null) respond();
      else {
        exchange.body.on('data', (chunk: Buffer) => {
          contents.set(exchange, (contents.get(exchange) ?? '') + chunk.toString('latin1'));
        });
        exchange.body.on('end', respond);
      }
    },
  });
}

async function compareListener(
  listener: TestListener,
  connections: number,
  open: () => Socket,
): Promise<void> {
  for (let n = 0; n < connections; n += 1) {
    const bytes = Buffer.concat(makeMessages(randomOf(n)));
    const text = bytes.toString('latin1');
    // The bytes after a protocol switch are no message, and targets of another scheme are misdirected.
    if (/upgrade|http:/i.test(text)) continue;
    const { messages, refusal } = readMessages([bytes]);
    const before = listener.exchanges.length;
    const received = await sendByBytes(open(), bytes);
    const begun = listener.exchanges.slice(before, before + messages.length);
    expect(begun.map(({ method, target }) => [method, target])).toEqual(
      messages.map(({ method, target }) => [method, target]),
    );
    expect(begun.map((exchange) => contents.get(exchange) ?? '')).toEqual(
      messages.map(({ content }) => content),
    );
    expect(received.split('X-Whole: yes').length - 1, text).toBe(messages.length);
    if (refusal?.endsWith('.') === true) expect(statuses(received).at(-1), text).toBe(400);
  }
}

async function sendByBytes(socket: Socket, bytes: Buffer): Promise<string> {
  let received = '';
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.setNoDelay(true);
  for (let at = 0; at < bytes.length && !socket.destroyed; at += 1) {
    socket.write(bytes.subarray(at, at + 1));
    await new Promise(setImmediate);
  }
  socket.end();
  await closed;
  return received;
}
