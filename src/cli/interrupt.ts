/**
 * A signal that fires on the first Ctrl-C (or a polite SIGTERM), so that the run stops between two
 * instructions and cleans up; a second Ctrl-C ends the process at once.
 *
 * @param onFirst called with the first one, to say what goes on
 */
export function interruptSignal(onFirst?: () => void): {
  readonly signal: AbortSignal;
  dispose(): void;
} {
  const controller = new AbortController();
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    onFirst?.();
    controller.abort(new Error('interrupted'));
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  return {
    signal: controller.signal,
    dispose() {
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onInterrupt);
    },
  };
}
