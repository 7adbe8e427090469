/**
 * Writes responses to a socket in order, one write at a time: what follows waits until the kernel has taken it, so that progress
 * is seen and what is owed is known. Small pieces go out as one.
 */
import type { Socket } from 'node:net';
import { writeLatin1 } from './latin1.ts';

/** Told when everything before it has been handed to the kernel. */
export interface Written {
  written(): void;
}

/** A string is latin1. */
export type Piece = string | Uint8Array;

/** Pieces that together are no larger are copied into one buffer. */
const COPIED_BYTES = 16 * 1024;
/** One write takes about as much, so that a slow client's progress is seen. */
const WRITE_BYTES = 128 * 1024;

const EMPTY = Buffer.alloc(0);

export class SocketWriter {
  /** Bytes that the kernel has not taken. */
  owedBytes = 0;
  /** How many writes the kernel has taken. */
  progress = 0;
  private readonly socket: Socket;
  /** Over TLS a write is never done at once. */
  private readonly isTls: boolean;
  private readonly onDrained: () => void;
  private queue: (Piece | Written)[] = [];
  private isWriting = false;
  private isScheduled = false;
  private readonly onWritten = (): void => this.afterWrite();
  private inFlightBytes = 0;

  constructor(socket: Socket, isTls: boolean, onDrained: () => void) {
    this.socket = socket;
    this.isTls = isTls;
    this.onDrained = onDrained;
  }

  /** Adds to what is written by the next `flush`, or at the end of this turn. */
  write(piece: Piece): void {
    this.queue.push(piece);
    this.owedBytes += piece.length;
    if (this.owedBytes >= WRITE_BYTES) this.flush();
    else if (!this.isScheduled && !this.isWriting) {
      this.isScheduled = true;
      process.nextTick(flushScheduled, this);
    }
  }

  /** Writes a whole message now, unless earlier bytes have to wait. */
  writeNow(head: string, content: Uint8Array | null): void {
    this.queue.push(head);
    this.owedBytes += head.length;
    if (content !== null) {
      this.queue.push(content);
      this.owedBytes += content.length;
    }
    this.flush();
  }

  /** Calls `written` when the kernel has taken everything so far; at once if it has. */
  afterAll(listener: Written): void {
    // Where nothing can be written any more, the close of the socket says so.
    if (!this.socket.writable) return;
    if (this.queue.length === 0 && !this.isWriting) listener.written();
    else this.queue.push(listener);
  }

  flush(): void {
    while (!this.isWriting && this.queue.length > 0) {
      const first = this.queue[0]!;
      if (isListener(first)) {
        this.queue.shift();
        first.written();
      } else if (this.socket.writable) this.writeBatch();
      else this.queue.length = 0;
    }
  }

  /** Of `process.nextTick`. */
  flushLate(): void {
    this.isScheduled = false;
    this.flush();
    if (!this.isWriting) this.onDrained();
  }

  private writeBatch(): void {
    const { queue } = this;
    let count = 0;
    let bytes = 0;
    while (count < queue.length && bytes < WRITE_BYTES) {
      const piece = queue[count]!;
      if (isListener(piece)) break;
      if (piece.length > 2 * WRITE_BYTES && typeof piece !== 'string') {
        // Only the beginning; the rest stays at the head of the queue.
        queue.splice(count, 1, piece.subarray(0, WRITE_BYTES), piece.subarray(WRITE_BYTES));
        bytes += WRITE_BYTES;
      } else bytes += piece.length;
      count += 1;
    }
    const batch = (count === queue.length ? queue : queue.slice(0, count)) as Piece[];
    this.queue = count === queue.length ? [] : queue.slice(count);
    this.inFlightBytes = bytes;
    this.writeToSocket(batch, bytes);
  }

  private writeToSocket(batch: Piece[], bytes: number): void {
    const { socket } = this;
    const callback = this.isTls ? this.onWritten : undefined;
    if (batch.length === 1) writePiece(socket, batch[0]!, callback);
    else if (bytes <= COPIED_BYTES) socket.write(joined(batch, bytes), callback);
    else {
      socket.cork();
      const last = batch.length - 1;
      for (let i = 0; i < last; i += 1) writePiece(socket, batch[i]!, undefined);
      writePiece(socket, batch[last]!, callback);
      socket.uncork();
    }
    if (this.isTls) this.isWriting = true;
    else if (socket.writableLength === 0) this.taken();
    else {
      this.isWriting = true;
      socket.write(EMPTY, this.onWritten);
    }
  }

  private taken(): void {
    this.owedBytes -= this.inFlightBytes;
    this.inFlightBytes = 0;
    this.progress += 1;
  }

  private afterWrite(): void {
    if (this.socket.destroyed) return;
    this.isWriting = false;
    this.taken();
    this.flush();
    if (!this.isWriting) this.onDrained();
  }
}

function flushScheduled(writer: SocketWriter): void {
  writer.flushLate();
}

function isListener(item: Piece | Written): item is Written {
  return typeof item !== 'string' && !(item instanceof Uint8Array);
}

function writePiece(socket: Socket, piece: Piece, callback: (() => void) | undefined): void {
  if (typeof piece === 'string') socket.write(piece, 'latin1', callback);
  else socket.write(piece, callback);
}

function joined(batch: readonly Piece[], bytes: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const piece of batch) {
    if (typeof piece === 'string') writeLatin1(whole, piece, at);
    else whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
