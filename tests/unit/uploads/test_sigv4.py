from datetime import UTC, datetime

from control_plane.uploads.sigv4 import Credentials, presigned

NOW = datetime(2013, 5, 24, tzinfo=UTC)
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
BUCKET = "https://examplebucket.s3.amazonaws.com/test.txt"


def signed(**headers: str) -> str:
    return presigned(
        "GET", BUCKET, headers, credentials=EXAMPLE, region="us-east-1", now=NOW, seconds=86_400
    )


def test_the_example_of_the_s3_reference_is_signed_as_it_says() -> None:
    signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert signed().endswith(f"&X-Amz-Signature={signature}")


def test_headers_are_named_in_order_and_bound() -> None:
    one, other = signed(**{"content-type": "a/b"}), signed(**{"content-type": "a/c"})
    assert "X-Amz-SignedHeaders=content-type%3Bhost&" in one
    assert one != other
    assert one.partition("&X-Amz-Signature")[0] == other.partition("&X-Amz-Signature")[0]


def test_temporary_credentials_send_their_token() -> None:
    temporary = Credentials("A", "B", "a/token+=")
    url = presigned(
        "PUT", BUCKET, {}, credentials=temporary, region="eu-west-1", now=NOW, seconds=1
    )
    assert "X-Amz-Security-Token=a%2Ftoken%2B%3D&" in url


def test_a_secret_is_not_shown() -> None:
    assert EXAMPLE.secret_key not in repr(EXAMPLE)
