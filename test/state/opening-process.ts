/** Opens the state in the folder that is its argument, and prints the result. */
import { openState } from '../../proxy/state/state-store.ts';

const opened = await openState(process.argv[2]!, 0);
console.log(opened.kind === 'open' ? 'open' : `failed: ${opened.reason}`);
if (opened.kind === 'open') await opened.state.close();
