import {
  Alert,
  Button,
  Code,
  Group,
  Modal,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { encode } from "uqr";
import { api, ownFactorsQuery } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { useAction } from "../../components/use-action.ts";

/** Sets an authenticator app up: its secret as a picture and as text, and a code of it. */
export function AppDialog({
  onClose,
  onCodes,
}: {
  onClose: () => void;
  onCodes: (codes: readonly string[]) => void;
}) {
  const [code, setCode] = useState("");
  // A secret for this dialog alone: opened again, it makes another.
  const begun = useQuery({
    queryKey: ["account", "totp"],
    queryFn: () => api.beginTotp(),
    gcTime: 0,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const confirm = useAction({
    run: () => api.confirmTotp(code),
    refresh: ownFactorsQuery.queryKey,
    onDone: ({ recoveryCodes }) => {
      onCodes(recoveryCodes);
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} title="Set up an authenticator app">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          confirm.mutate();
        }}
      >
        <Stack>
          <Text size="sm">Scan this with the app, or type the secret in.</Text>
          {begun.error && <Alert color="ember">{begun.error.message}</Alert>}
          {begun.data && (
            <>
              <QrCode text={begun.data.uri} />
              <CopyText text={begun.data.secret} />
            </>
          )}
          <TextInput
            label="The code that the app shows"
            inputMode="numeric"
            autoComplete="one-time-code"
            maxLength={6}
            data-autofocus
            value={code}
            onChange={(event) => setCode(event.currentTarget.value.trim())}
          />
          <Button type="submit" disabled={!/^\d{6}$/.test(code)} loading={confirm.isPending}>
            Confirm
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}

/** Asks for a code before something about the factors. */
export function CodeDialog(props: {
  title: string;
  label: string;
  run: (code: string) => Promise<unknown>;
  done?: string;
  onClose: () => void;
}) {
  const [code, setCode] = useState("");
  const action = useAction({
    run: () => props.run(code),
    ...(props.done ? { done: () => props.done as string } : {}),
    refresh: ownFactorsQuery.queryKey,
    onDone: props.onClose,
  });
  return (
    <Modal opened onClose={props.onClose} title={props.title}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          action.mutate();
        }}
      >
        <Stack>
          <TextInput
            label="A code of the app, or a recovery code"
            autoComplete="one-time-code"
            maxLength={32}
            data-autofocus
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          <Button type="submit" disabled={code.trim().length < 6} loading={action.isPending}>
            {props.label}
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}

export function RecoveryCodes({
  codes,
  onClose,
}: {
  codes: readonly string[];
  onClose: () => void;
}) {
  return (
    <Modal opened onClose={onClose} title="Your recovery codes" closeOnClickOutside={false}>
      <Stack>
        <Alert color="amber" icon={<IconAlertTriangle aria-hidden />}>
          Keep them where you find them without your phone: each signs you in once, and they are
          shown this once.
        </Alert>
        <SimpleGrid cols={2} spacing="xs">
          {codes.map((code) => (
            <Code key={code} ta="center" fz="sm">
              {code}
            </Code>
          ))}
        </SimpleGrid>
        <Group justify="space-between">
          <CopyText text={codes.join("\n")} shown="all of them" />
          <Button onClick={onClose}>I have them</Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/** Dark on light in either theme: scanners want it so. */
function QrCode({ text }: { text: string }) {
  const { data, size } = encode(text, { border: 2 });
  const path = data
    .flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : "")))
    .join("");
  return (
    <svg
      viewBox={`0 0 ${size} ${size}`}
      width={200}
      height={200}
      role="img"
      aria-label="The secret as a picture for the app"
      shapeRendering="crispEdges"
      style={{ background: "#fff", alignSelf: "center", borderRadius: 8 }}
    >
      <path d={path} fill="#000" />
    </svg>
  );
}
