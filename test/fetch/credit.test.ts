/** Tests content that is sent from one worker to another against credit. */
import { expect, it } from 'vitest';
import { FlightBody } from '../../proxy/store/body.ts';
import type { FlightResult } from '../../proxy/fetch/flight-result.ts';
import type { PeerMessage } from '../../proxy/fetch/peers/messages.ts';
import { PeerFetchServer, type PeerFetchServerDependencies } from '../../proxy/fetch/peers/server.ts';
import { PeerFetchClient, type PeerFetchClientDependencies } from '../../proxy/fetch/peers/client.ts';
import type { Waiter } from '../../proxy/fetch/fetch-request.ts';

const WINDOW_BYTES = 65_536;

/** Reads a body to its end as soon as there is something to read. */
function readAll(body: FlightBody): { readonly position: number } {
  const reader = body.reader(0, () => {
    for (let piece = reader.next(); piece.kind === 'bytes'; piece = reader.next()) {
      reader.advance(piece.bytes.byteLength);
    }
  });
  return reader;
}

/**
 * A flight in one worker that already has `pieces`, and a reader in another worker. Messages are delivered
 * one by one.
 */
function send(pieces: readonly number[]): { readonly dataMessages: number; readonly receivedBytes: number } {
  const source = new FlightBody({
    windowBytes: WINDOW_BYTES,
    keepsAll: true,
    isStored: false,
    pause: () => {},
    resume: () => {},
    onDeserted: () => {},
  });
  for (const length of pieces) source.append(new Uint8Array(length));
  source.end([]);
  const messages: (() => void)[] = [];
  let dataMessages = 0;
  let received: { readonly position: number } | null = null;
  const flights = {
    join(_request: unknown, waiter: Waiter) {
      waiter.deliver({ kind: 'pass', status: 200, fields: [], body: source, reason: 'no-store' });
      return () => true;
    },
  };
  const serve = (join: PeerMessage & { readonly kind: 'join' }): PeerFetchServer => {
    const tiers = { find: () => ({ entry: null, others: false }) };
    const peers = { claimFlight: () => 'unclaimed', releaseFlight: () => {} };
    const deps = { flights: () => flights, tiers, peers, routeNamed: () => null };
    return new PeerFetchServer(
      deps as unknown as PeerFetchServerDependencies,
      join,
      (message) => {
        if (message.kind === 'data') dataMessages += 1;
        messages.push(() => client.receive(message));
      },
      () => {},
    );
  };
  let server: PeerFetchServer | null = null;
  const client = new PeerFetchClient(
    { windowBytes: WINDOW_BYTES } as PeerFetchClientDependencies,
    { id: 1, request: { request: {} }, arrival: 0, arrivedAtMs: 0, waitsSinceMs: 0 } as never,
    {
      inform: () => {},
      over: () => {},
      deliver: (result: FlightResult) => {
        if (result.kind === 'pass') received = readAll(result.body);
      },
    },
    (message) =>
      messages.push(() => {
        if (message.kind !== 'join') server!.receive(message);
        else {
          server = serve(message);
          server.start();
        }
      }),
  );
  client.start();
  for (let message = messages.shift(); message !== undefined; message = messages.shift()) message();
  return { dataMessages, receivedBytes: received!.position };
}

it('the pieces of content do not get smaller and smaller, however they meet the end of the credit', () => {
  const pieces = Array.from({ length: 1_000 }, (_, n) => 1 + ((n * 7919) % 4096));
  const { dataMessages, receivedBytes } = send(pieces);
  expect(receivedBytes).toBe(pieces.reduce((sum, length) => sum + length, 0));
  expect(dataMessages).toBeLessThan(pieces.length * 1.5);
});

it.each([257, WINDOW_BYTES / 4, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1])(
  'arrives whole in pieces of %i bytes',
  (length) => {
    const count = Math.ceil((3 * WINDOW_BYTES) / length);
    expect(send(Array.from({ length: count }, () => length)).receivedBytes).toBe(count * length);
  },
);
