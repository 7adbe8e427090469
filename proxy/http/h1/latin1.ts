/**
 * Bytes as text, one character a byte, as HTTP's heads are (RFC 9110 §5.5). Node.js has these methods without declaring them;
 * `toString` and `write` look at the name of the encoding first.
 */
interface Latin1Buffer {
  latin1Slice(from: number, to: number): string;
  latin1Write(text: string, at: number): number;
}

/** A string of its own: it does not keep the buffer in memory. */
export function latin1Of(bytes: Buffer, from: number, to: number): string {
  return (bytes as unknown as Latin1Buffer).latin1Slice(from, to);
}

/** Of each character the lowest eight bits. */
export function writeLatin1(bytes: Buffer, text: string, at: number): void {
  (bytes as unknown as Latin1Buffer).latin1Write(text, at);
}
