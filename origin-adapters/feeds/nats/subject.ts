/** Whether a subject matches a pattern: `*` is one token, a final `>` one or more. */
export function matchesSubject(subject: string, pattern: string): boolean {
  const tokens = subject.split('.');
  const wanted = pattern.split('.');
  if (wanted.at(-1) === '>') {
    wanted.pop();
    if (tokens.length <= wanted.length) return false;
  } else if (tokens.length !== wanted.length) {
    return false;
  }
  return wanted.every((token, i) => token === '*' || token === tokens[i]);
}
