import { Button } from "@mantine/core";
import { browserSupportsWebAuthn, startAuthentication } from "@simplewebauthn/browser";
import { IconFingerprint } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { api } from "../api/index.ts";

/** Signs in with a passkey of this browser or of a security key. */
export function PasskeyButton({
  onDone,
  onError,
}: {
  onDone: () => void;
  onError: (error: Error) => void;
}) {
  const enter = useMutation({
    mutationFn: async () => {
      const { options, challenge } = await api.beginPasskeySignIn();
      const response = await startAuthentication({ optionsJSON: options as never });
      return api.signInWithPasskey({ challenge, response: response as never });
    },
    onSuccess: onDone,
    onError,
  });
  if (!browserSupportsWebAuthn()) return null;
  return (
    <Button
      variant="default"
      fullWidth
      loading={enter.isPending}
      leftSection={<IconFingerprint size={16} aria-hidden />}
      onClick={() => enter.mutate()}
    >
      Use a passkey
    </Button>
  );
}
