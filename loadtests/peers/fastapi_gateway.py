r"""The gateway one would write in a weekend: FastAPI, pydantic and tritonclient.

It validates the same inputs as the contracts and answers in the same shape as API v1. There is no
coalescing, quota, deadline, metric or access log in it: it is the least that works, and so a
generous yardstick.

    TRITON_GRPC=127.0.0.1:8001 uvicorn loadtests.peers.fastapi_gateway:app \
        --loop uvloop --http httptools --no-access-log
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient

SENTIMENT = {"v1.0.0": "sentiment_linear", "v2.3.1": "sentiment_minilm"}
SENTIMENT_LABELS = ("negative", "neutral", "positive")
WINE_LABELS = ("barolo", "grignolino", "barbera")
OUTPUTS = [InferRequestedOutput("PROBABILITIES")]


class Strict(BaseModel):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid")


class SentimentInputs(Strict):
    """Inputs of the sentiment models."""

    text: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]
    language: Literal["en"] = "en"
    confidence_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0


class WineInputs(Strict):
    """Inputs of the wine model, in the order of its tensor."""

    alcohol: Annotated[float, Field(ge=5, le=25)]
    malic_acid: Annotated[float, Field(ge=0, le=15)]
    ash: Annotated[float, Field(ge=0, le=10)]
    alcalinity_of_ash: Annotated[float, Field(ge=0, le=60)]
    magnesium: Annotated[float, Field(ge=0, le=400)]
    total_phenols: Annotated[float, Field(ge=0, le=10)]
    flavanoids: Annotated[float, Field(ge=0, le=10)]
    nonflavanoid_phenols: Annotated[float, Field(ge=0, le=5)]
    proanthocyanins: Annotated[float, Field(ge=0, le=10)]
    color_intensity: Annotated[float, Field(ge=0, le=30)]
    hue: Annotated[float, Field(ge=0, le=5)]
    od280_od315_of_diluted_wines: Annotated[float, Field(ge=0, le=10)]
    proline: Annotated[float, Field(ge=0, le=5000)]


class SentimentRequest(Strict):
    """Body of a sentiment prediction."""

    inputs: SentimentInputs


class WineRequest(Strict):
    """Body of a wine prediction."""

    inputs: WineInputs


class Prediction(BaseModel):
    """Answer of a prediction."""

    prediction: str
    confidence: float
    model: str
    model_version: str
    request_id: str


class SentimentPrediction(Prediction):
    """Answer of a sentiment prediction."""

    below_threshold: bool


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client of Triton open."""
    async with InferenceServerClient(os.environ["TRITON_GRPC"]) as client:
        app.state.triton = client
        yield


app = FastAPI(lifespan=lifespan)


async def infer(model: str, tensor: InferInput, data: npt.NDArray[Any]) -> list[float]:
    """Call Triton for one input; the probabilities of the labels."""
    tensor.set_data_from_numpy(data)
    answer = await app.state.triton.infer(model, [tensor], outputs=OUTPUTS)
    probabilities: list[float] = answer.as_numpy("PROBABILITIES")[0].tolist()
    return probabilities


@app.post("/models/sentiment/{version}/predict")
async def predict_sentiment(version: str, body: SentimentRequest) -> SentimentPrediction:
    """Judge a text."""
    if version not in SENTIMENT:
        raise HTTPException(404, "no such version")
    text = np.array([[body.inputs.text.encode()]], dtype=np.object_)
    scores = await infer(SENTIMENT[version], InferInput("TEXT", [1, 1], "BYTES"), text)
    best = int(np.argmax(scores))
    return SentimentPrediction(
        prediction=SENTIMENT_LABELS[best],
        confidence=round(scores[best], 6),
        below_threshold=scores[best] < body.inputs.confidence_threshold,
        model="sentiment",
        model_version=version,
        request_id=f"req_{uuid.uuid4().hex}",
    )


@app.post("/models/wine/v1.0.0/predict")
async def predict_wine(body: WineRequest) -> Prediction:
    """Tell the cultivar of a wine."""
    row = np.array([list(body.inputs.model_dump().values())], dtype=np.float32)
    scores = await infer("wine_logistic", InferInput("X", [1, len(row[0])], "FP32"), row)
    best = int(np.argmax(scores))
    return Prediction(
        prediction=WINE_LABELS[best],
        confidence=round(scores[best], 6),
        model="wine",
        model_version="v1.0.0",
        request_id=f"req_{uuid.uuid4().hex}",
    )
