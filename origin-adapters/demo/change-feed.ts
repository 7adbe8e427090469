/**
 * WHATWG HTML §9.2: `/changes` serves the change log as server-sent events. Each transaction is one event, `event:
 * head` ends the replay, `event: reset` says that the replay can't be complete, and comments prove that nothing is
 * pending.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RowChange } from './catalogue.ts';
import type { ChangeLog } from './change-log.ts';

/** The interval of comments, each of which states that everything has been sent. */
const heartbeatMs = 2_000;
/** A client with more unread bytes is disconnected. It may reconnect and have the rest replayed. */
const maxUnreadBytes = 4 * 1024 * 1024;

export function followChanges(log: ChangeLog, request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  response.write(opening(log, request.headers['last-event-id']));

  const write = (text: string): void => {
    response.write(text);
    if (response.writableLength > maxUnreadBytes) response.destroy();
  };
  const unfollow = log.follow(({ id, changes }) => write(changeEvent(id, changes)));
  const heartbeat = setInterval(() => write(': at the head\n\n'), heartbeatMs);
  response.once('close', () => {
    unfollow();
    clearInterval(heartbeat);
  });
}

/** The first events of a connection: the replay, or `event: reset` if the missed events are unknown. */
function opening(log: ChangeLog, lastEventId: string | string[] | undefined): string {
  const head = `event: head\nid: ${log.head}\ndata: {}\n\n`;
  if (lastEventId === undefined) return head;
  const missed = /^\d{1,15}$/.test(String(lastEventId)) ? log.after(Number(lastEventId)) : null;
  if (missed === null) return `event: reset\nid: ${log.head}\ndata: {"reason":"not in the log"}\n\n${head}`;
  return missed.map(({ id, changes }) => changeEvent(id, changes)).join('') + head;
}

function changeEvent(id: number, changes: readonly RowChange[]): string {
  const data = changes.length === 1 ? changes[0] : changes;
  return `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}
